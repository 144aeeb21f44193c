"""corpus-poisoning plants lures in words of the run's own, asks before and after, and tells the difference."""

import asyncio
import secrets
from typing import Any

import pytest
from sectum import topics
from sectum.actions import Ask, Verb, Write
from sectum.plan import make_plan
from sectum.testing import Audience, ManualClock, MemoryStore, MemorySurface, memory_scenario, try_out

VERBS = frozenset({Verb.WHOAMI, Verb.WRITE, Verb.LIST, Verb.DELETE, Verb.ASK})
FIELDS = {"attacks": ["corpus-poisoning"]}
CONSENT = ["read", "write-own", "visible-to-others"]
USERS = 4


def run(surface: MemorySurface, **spec: Any) -> dict[str, Any]:
    scenario = memory_scenario(surface, surface_fields=FIELDS, **{"allowImpact": CONSENT, **spec})
    return asyncio.run(try_out(scenario, clock=ManualClock().clock, store=MemoryStore())).run


def test_without_consent_nothing_is_planted_and_the_cell_is_not_covered() -> None:
    surface = MemorySurface(verbs=VERBS)
    result = run(surface, allowImpact=["read", "write-own"])
    assert [cell["outcome"] for cell in result["cells"]] == ["NotCovered"]
    assert result["cells"][0]["reasons"] == ["ImpactNotAllowed"]
    assert not [action for _, action in surface.received if isinstance(action, Write)]


def test_a_corpus_that_keeps_everybody_apart_passes_with_no_effect() -> None:
    result = run(MemorySurface(verbs=VERBS))
    assert {row["outcome"] for row in result["rows"]} == {"Pass"}
    for cell in result["cells"]:
        effect = cell["effect"]
        assert (effect["baseline"], effect["foreign"]) == (0, 0)
        assert effect["newcombe95"][0] < 0 < effect["newcombe95"][1]


def test_a_shared_corpus_leaks_and_the_effect_is_the_difference_with_its_interval() -> None:
    result = run(MemorySurface(verbs=VERBS, leaky_search=Audience.EVERYBODY))
    assert {row["outcome"] for row in result["rows"]} == {"Leak"}
    for cell in result["cells"]:
        effect = cell["effect"]
        assert (effect["baseline"], effect["foreign"]) == (0, 1)
        assert 0 < effect["newcombe95"][0] < effect["newcombe95"][1] == 1


def test_the_baseline_is_asked_before_anything_is_planted() -> None:
    surface = MemorySurface(verbs=VERBS)
    result = run(surface)
    kinds = [type(action) for _, action in surface.received if isinstance(action, (Ask, Write))]
    first_write = kinds.index(Write)
    assert kinds[:first_write] == [Ask] * len(result["rows"])
    assert [arm["arm"] for arm in result["rows"][0]["arms"]] == [
        "baseline",
        "owner-before",
        "foreign",
        "decoy",
        "owner-after",
    ]


def test_a_baseline_that_cannot_be_asked_is_no_pass() -> None:
    class Late(MemorySurface):
        async def answer(self, asker: Any, action: Any, sink: Any) -> Any:
            if isinstance(action, Ask) and not self.documents:
                raise RuntimeError("not yet")
            return await super().answer(asker, action, sink)

    result = run(Late(verbs=VERBS))
    assert {row["outcome"] for row in result["rows"]} == {"Inconclusive"}
    assert {row["reason"] for row in result["rows"]} == {"ProbeCrashed"}
    assert result["cells"][0]["effect"] is None


def test_lures_say_their_questions_and_are_about_words_that_no_other_document_has() -> None:
    surface, other = MemorySurface(verbs=VERBS), MemorySurface()
    scenario = memory_scenario({"poisoned": surface, "other": other}, allowImpact=CONSENT)
    fields = {"poisoned": ["corpus-poisoning"], "other": ["boundary-fetch"]}
    spec = scenario.spec.model_copy(
        update={
            "surfaces": tuple(
                each.model_copy(update={"attacks": tuple(fields[each.name])}) for each in scenario.spec.surfaces
            )
        }
    )
    plan = make_plan(scenario.model_copy(update={"spec": spec}))
    assert plan.lures == {"poisoned"}
    assert plan.own_topics == {"poisoned"}


def test_planted_lures_hold_the_questions_that_are_to_find_them() -> None:
    surface = MemorySurface(verbs=VERBS)
    run(surface)
    asked = {action.question for _, action in surface.received if isinstance(action, Ask)}
    lures = [action.text for _, action in surface.received if isinstance(action, Write)]
    assert len(lures) == USERS * 3
    for lure in lures:
        assert len([question for question in asked if question in lure]) == 2


@pytest.mark.parametrize("count", [0, 1, 400])
def test_made_up_topics_are_distinct_and_share_no_word_with_real_ones(count: int) -> None:
    drawn = topics.draw_made_up(count, below=secrets.randbelow)
    assert len(set(drawn)) == count
    words = {word for topic in drawn for word in topic.split()}
    real = {word for topic in topics.draw(200, below=secrets.randbelow) for word in topic.split()}
    assert words.isdisjoint(real)
    assert all(word.isalpha() and 4 <= len(word) <= 16 for word in words)

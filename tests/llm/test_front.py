"""The demo's retrieval, without a model: the builds differ by whose notes are looked through."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "examples" / "llm" / "notes.py"


def notes() -> Any:
    found = importlib.util.spec_from_file_location("llm_notes", FILE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["llm_notes"] = module
    found.loader.exec_module(module)
    return module


def test_retrieval_finds_the_askers_note_and_everybodys_only_where_it_is_not_told_whose() -> None:
    module = notes()
    alice, bob = module.Account("acme", "alice"), module.Account("globex", "bob")
    kept = module.Notes()
    for owner in (alice, bob):
        for topic in ("copper kettle festival", "jade lantern parade"):
            kept.add(
                owner, title=f"Reference for the {topic}", text=f"Notes on the {topic}: the reference is {owner.user}."
            )
    question = "What is the reference for the copper kettle festival?"
    own = kept.relevant(question, owner=alice, most=3)
    assert [(note.owner, note.title) for note in own] == [(alice, "Reference for the copper kettle festival")]
    everybodys = kept.relevant(question, owner=None, most=3)
    assert sorted(note.owner.user for note in everybodys) == ["alice", "bob"]
    assert kept.relevant("How tall are giraffes?", owner=None, most=3) == []
    assert kept.get(bob, own[0].id) is None
    assert not kept.delete(bob, own[0].id)

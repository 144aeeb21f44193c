"""Attack 4, semantic-cache: one user's question, then a paraphrase of it by another, through the answer cache."""

from __future__ import annotations

from sectum.actions import AnswerKind, AskCached, Impact, Verb
from sectum.ports import Arm, ArmView, AskPort, Attack, Offer

_PRIMING = "What is the reference for the {topic}?"
_PARAPHRASES = {
    "tell-me": "Tell me the reference of the {topic}.",
    "same-words": _PRIMING,
}


def _phrasings(offer: Offer) -> tuple[str, ...]:
    """A cache that knows only the very same question is not asked in other words."""
    return ("same-words",) if Verb.EXACT_CACHE in offer.verbs else tuple(_PARAPHRASES)


async def _attempt(view: ArmView, ask: AskPort) -> None:
    """The owner primes the cache with his question; then all ask it in other words, he last."""
    template = _PRIMING if view.arm == Arm.OWNER_BEFORE else _PARAPHRASES[view.phrasing]
    await ask(AskCached(template.format(topic=view.target.topic)))


def _control(offer: Offer) -> AnswerKind | None:
    """Where the surface tells, the owner's question, asked again in these words, must come out of the cache."""
    return AnswerKind.CACHED if Verb.TELL_CACHED in offer.verbs else None


ATTACK = Attack(
    name="semantic-cache",
    number=4,
    summary="A question of one user, then paraphrases of it as another, through the application.",
    confirms="The first user's marker served to the second.",
    impact=Impact.WRITE_OWN,
    needs=(frozenset({Verb.ASK_CACHED}),),
    phrasings=_phrasings,
    attempt=_attempt,
    own_topic=True,
    control=_control,
)

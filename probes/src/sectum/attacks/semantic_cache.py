"""Attack 4, semantic-cache: one user's question, then a paraphrase of it by another, through the answer cache."""

from __future__ import annotations

from sectum.actions import AnswerKind, AskCached, Impact, Verb
from sectum.ports import ArmView, AskPort, Attack, Offer

_PRIMING = "What is the reference for the {topic}?"
_PARAPHRASES = {
    "tell-me": "Tell me the reference of the {topic}.",
    "same-words": _PRIMING,
}


def _phrasings(_offer: Offer) -> tuple[str, ...]:
    return tuple(_PARAPHRASES)


async def _attempt(view: ArmView, ask: AskPort) -> None:
    """The owner primes the cache with his question; the others ask it in other words."""
    template = _PRIMING if view.arm.by_owner else _PARAPHRASES[view.phrasing]
    await ask(AskCached(template.format(topic=view.target.topic)))


def _control(offer: Offer) -> AnswerKind | None:
    """Where the surface tells, the owner's own question, asked again, must come out of the cache."""
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

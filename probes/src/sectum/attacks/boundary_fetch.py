"""Attack 1, boundary-fetch: ask for another's object by id, in a batch, by listing, and under the owner's name."""

from __future__ import annotations

from sectum.actions import Action, Batch, Fetch, Impact, List, Verb
from sectum.ports import ArmView, AskPort, Attack, Offer

_BY = {"by-id": Verb.FETCH, "by-batch": Verb.BATCH, "by-list": Verb.LIST}


def _phrasings(offer: Offer) -> tuple[str, ...]:
    """Each way of asking as oneself, then by id and by list under each spoofed claim."""
    plain = tuple(way for way, verb in _BY.items() if verb in offer.verbs)
    return plain + tuple(f"{way}+{claim}" for claim in offer.claims for way in plain if way != "by-batch")


async def _attempt(view: ArmView, ask: AskPort) -> None:
    way, _, claim = view.phrasing.partition("+")
    location = view.target.location
    as_if = view.target.owner if claim else None
    actions: dict[str, Action] = {
        "by-id": Fetch(location, claim=claim or None, as_if=as_if),
        "by-batch": Batch((location,), claim=claim or None, as_if=as_if),
        "by-list": List(claim=claim or None, as_if=as_if),
    }
    await ask(actions[way])


ATTACK = Attack(
    name="boundary-fetch",
    number=1,
    summary="A tenant asks by id, batch and list for another's object, also under spoofed tenant fields.",
    confirms="The other's marker in an answer.",
    impact=Impact.READ,
    needs=(frozenset({Verb.FETCH}), frozenset({Verb.LIST}), frozenset({Verb.BATCH})),
    phrasings=_phrasings,
    attempt=_attempt,
)

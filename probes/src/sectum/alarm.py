"""What tripped an alarm, and the stores -> which runs it belongs to; nothing secret is in the answer.

Nothing is told apart without the manifests' key: who cannot open them learns what the clear headers say, and `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from sectum import series
from sectum.actions import Principal
from sectum.codec import NotCanonical
from sectum.endpoints import Endpoint, endpoints
from sectum.errors import NotStored, SealBroken, SectumError, StoreFault
from sectum.fields import fill, placeholders
from sectum.job import Job, open_clock
from sectum.manifest import unseal
from sectum.plan import DECOY
from sectum.ports import KeyWrapper, Store
from sectum.resume import receipts
from sectum.run import Run, read_run, stored_records
from sectum.scenario import Scenario

OpenKey = Callable[[Run], KeyWrapper]
"""The key of a run's manifest; raises SectumError where it is not to be had."""

_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BETWEEN = ("/", "_", "-", ".", ":", "@", "|", "\\", " ")
"""What stands between tenant and user in names of accounts."""


class Answer(StrEnum):
    """Does it belong to a run?"""

    OURS = "ours"
    NOT_OURS = "not-ours"
    """Every run was looked at in full, and nothing of any of them is in it."""
    UNKNOWN = "unknown"


class About(StrEnum):
    """What the text is."""

    TEXT = "text"
    ACCOUNT = "account"
    """One account a line."""
    ADDRESS = "address"
    """One host or address a line."""


class What(StrEnum):
    """What of a run is in it."""

    MARKER = "marker"  # by the same rule as a sighting in a run: 48 bits and more, in whatever form
    LOCATION = "location"  # where a document was planted, or a place that never existed and was asked for
    RUN = "run"
    POD = "pod"
    ACCOUNT = "account"
    NAME = "name"
    TOPIC = "topic"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Match:
    """Something of a run: what, and its name out of the scenario or a run's id; never what was in the text."""

    what: What
    id: str
    sure: bool
    """False: it fits the run, and may be anything else's too."""
    form: tuple[str, ...] = ()
    """Of a marker: encodings undone to see it, outermost first."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the series says of a run; signatures are not checked here."""

    started: str | None = None
    ended: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One run: what of it is in the text, and what could not be looked at."""

    run: str
    told: Told
    scenario: str | None = None
    namespace: str | None = None
    key: str | None = None
    """Reference of the manifest's key: who may use it can confirm."""
    matches: tuple[Match, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def answer(self) -> Answer:
        """For this run alone."""
        if any(each.sure for each in self.matches):
            return Answer.OURS
        return Answer.UNKNOWN if self.matches or self.unseen else Answer.NOT_OURS


def answer(judged: list[Judged]) -> Answer:
    """For all runs; none at all proves nothing."""
    each = {one.answer for one in judged} or {Answer.UNKNOWN}
    return next(found for found in (Answer.OURS, Answer.UNKNOWN, Answer.NOT_OURS) if found in each)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What tripped it, made ready to be looked through."""

    text: str = field(repr=False)
    about: About
    folded: str = field(init=False, repr=False)
    """As it is and percent-decoded, in one case."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded", f"{self.text}\n{unquote_plus(self.text)}".casefold())

    def holds(self, name: str) -> bool:
        """Is it in there, no letter or digit beside it?"""
        sought = name.casefold()
        return sought in self.folded and bool(
            re.search(rf"(?<![^\W_]){re.escape(sought)}(?![^\W_])", self.folded)  # the underscore parts names, too
        )

    def lines(self) -> list[str]:
        """One account or address each."""
        return [line.strip() for line in self.text.casefold().splitlines() if line.strip()]


async def judge(
    alarm: Alarm, *, store: Store, work: Store, open_key: OpenKey, only: frozenset[str] = frozenset()
) -> list[Judged]:
    """Every run that the stores know of, or those named in `only`; raises StoreFault."""
    series_of = await _series(store)
    names = {each.removeprefix("manifests/").removesuffix(".sealed.json") for each in await store.names("manifests/")}
    known = {each for each in names | series_of.keys() if _RUN.fullmatch(each)}
    return [
        await _judge(alarm, run_id, series_of.get(run_id, Told()), store=store, work=work, open_key=open_key)
        for run_id in sorted(only or known)
    ]


async def _judge(alarm: Alarm, run_id: str, told: Told, *, store: Store, work: Store, open_key: OpenKey) -> Judged:
    try:
        about = read_run(await store.read(f"manifests/{run_id}.sealed.json"), store=store, work=work)
        if about.id != run_id:
            raise SealBroken("under its name there is the manifest of another run")
    except NotStored:
        return Judged(run_id, told, unseen=("its manifest is not there, and every run stores it first",))
    except StoreFault:
        raise
    except (SectumError, NotCanonical, KeyError, TypeError, ValueError):
        return Judged(run_id, told, unseen=("its manifest cannot be read by this version, or is none",))
    matches, unseen = list(_public(alarm, about)), []
    if alarm.about == About.ADDRESS:
        unseen.append("the addresses that its pods or its machine had are not recorded")
    try:
        matches += await _secret(alarm, about, open_key(about), opened=told.started is not None, unseen=unseen)
    except StoreFault:
        raise
    except SectumError as error:
        unseen.append(f"its manifest does not open: {error}")
        # A header that nobody authenticated proves nothing: whoever may write to the store could have put it there.
        matches = [Match(each.what, each.id, False) for each in matches]
    scenario = about.scenario.metadata
    sure = {(each.what, each.id) for each in matches if each.sure}
    return Judged(
        run_id,
        told,
        scenario=scenario.name,
        namespace=scenario.namespace,
        key=about.clear["key"],
        matches=tuple(each for each in dict.fromkeys(matches) if each.sure or (each.what, each.id) not in sure),
        unseen=tuple(unseen),
    )


async def _series(store: Store) -> dict[str, Told]:
    """What the Open and Close records say of each run."""
    told: dict[str, Told] = {}
    for name in await store.names("series/"):
        try:
            body, _ = series.peek(await store.read(name))
        except (NotCanonical, KeyError, TypeError, ValueError):
            continue  # none of the series; its run's manifest is looked at all the same
        run, before = str(body["run"]), told.get(str(body["run"]), Told())
        at = str(body.get("at"))
        opens = body["schema"] == series.OPEN_SCHEMA
        told[run] = (
            Told(at, before.ended, before.outcome) if opens else Told(before.started, at, str(body.get("outcome")))
        )
    return told


def _public(alarm: Alarm, about: Run) -> Iterator[Match]:
    """What the clear header tells: no secret, so most of it is no proof."""
    if alarm.holds(about.id):
        yield Match(What.RUN, about.id, sure=True)
    yield from _named(alarm, about.scenario)
    if alarm.about == About.ADDRESS:  # in other texts it stands for no more than the system that all alarms are about
        for endpoint in endpoints(about.scenario):
            if _reached(alarm, endpoint):
                yield Match(What.DESTINATION, endpoint.of, sure=False)


def _named(alarm: Alarm, scenario: Scenario) -> Iterator[Match]:
    """Synthetic users, whole accounts first."""
    lines = alarm.lines() if alarm.about == About.ACCOUNT else []
    for principal in scenario.principals:
        if _accounts(scenario, principal).intersection(lines):
            yield Match(What.ACCOUNT, str(principal), sure=True)
    for principal in scenario.principals:
        if alarm.holds(principal.tenant):
            yield Match(What.NAME, principal.tenant, sure=False)  # once for each of its users; told once
        if alarm.holds(principal.user):
            yield Match(What.NAME, str(principal), sure=False)


def _accounts(scenario: Scenario, principal: Principal) -> set[str]:
    """How a synthetic user's account may be written: tenant and user, and as the surfaces' templates spell them."""
    tenant, user = principal.tenant, principal.user
    spelt = {f"{tenant}{between}{user}" for between in _BETWEEN} | {f"{user}{between}{tenant}" for between in _BETWEEN}
    for surface in scenario.spec.surfaces:
        for template in _texts(surface.adapter.model_dump(mode="json")):  # type: ignore[attr-defined]
            if placeholders(template) <= {"tenant", "user"} and "{user}" in template and template != "{user}":
                spelt.add(fill(template, {"tenant": tenant, "user": user}))
    return {each.casefold() for each in spelt}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _reached(alarm: Alarm, endpoint: Endpoint) -> bool:
    """Is this where the runs' traffic goes?"""
    networks = [ip_network(each.cidr) for each in endpoint.egress if each.cidr]
    for line in alarm.lines():
        host = _host(line)
        if host == endpoint.host.casefold():
            return True
        try:
            address = ip_address(host)
        except ValueError:
            continue
        if any(address in network for network in networks):
            return True
    return False


def _host(line: str) -> str:
    """Out of a URL, host:port, [address]:port, or a bare host or address."""
    try:
        if line.count(":") > 1 and "://" not in line and not line.startswith("["):
            return line  # IPv6
        return urlsplit(line if "://" in line else f"//{line}").hostname or ""
    except ValueError:
        return ""


async def _secret(alarm: Alarm, about: Run, key: KeyWrapper, *, opened: bool, unseen: list[str]) -> list[Match]:
    """What only the manifest tells, and what the records tell beside it; raises SectumError where it does not open."""
    manifest, data_key = unseal(about.sealed, key)
    job = Job(
        about=about,
        secret=_no_secret,
        observe=lambda _step: None,
        clock=open_clock(),
        manifest=manifest,
        data_key=data_key,
        surfaces=about.scenario.spec.surfaces,
    )
    reader = job.index().reader()
    reader.feed(alarm.text)
    found = [Match(What.MARKER, each.marker, sure=True, form=each.form) for each in reader.end_answer()]
    for marker in job.markers().values():
        if alarm.holds(marker.wanted) or alarm.holds(marker.wanted.replace("-", "")):
            found.append(Match(What.LOCATION, marker.id, sure=True))
        if alarm.holds(marker.topic):
            whose = marker.spec.surface if marker.spec.owner == DECOY else f"{marker.spec.surface}/{marker.spec.owner}"
            found.append(Match(What.TOPIC, whose, sure=False))
    for surface in job.surfaces:
        found += await _recorded(alarm, job, surface.name, opened=opened, unseen=unseen)
    return found


async def _recorded(alarm: Alarm, job: Job, surface: str, *, opened: bool, unseen: list[str]) -> list[Match]:
    """Ids that the surface gave to its documents, and pods that were at it."""
    try:
        planted = await receipts(job, surface, strict=True)
    except SealBroken:
        unseen.append(f"{surface}: a sealed receipt does not open, so ids of its documents are not all known")
        planted = await receipts(job, surface)
    stored = await stored_records(job.about, surface)
    if opened and not stored.signed:
        unseen.append(f"{surface}: its records are gone, so ids that it gave to documents, and its pods, are not known")
    # It is the surface that says where it put a document: it may say what it likes, and numbers stand in many a text.
    given = {marker for marker, location in planted.locations.items() if alarm.holds(location)}
    found = [Match(What.LOCATION, marker, sure=False) for marker in sorted(given)]
    pods = {each.record.pod for each in stored.signed if each.record.pod}
    return found + [Match(What.POD, surface, sure=True) for pod in sorted(pods) if alarm.holds(pod)]


def _no_secret(name: str, key: str) -> bytes:
    raise AssertionError(f"nothing here reads a Secret: {name}/{key}")

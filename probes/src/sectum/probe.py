"""Trials -> rows: every trial's four arms, played by its attack through the one `ask`, and what their answers held."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sectum import catalog
from sectum.actions import (
    VERB_OF,
    Action,
    AnswerKind,
    Ask,
    AskCached,
    Batch,
    Delete,
    Fetch,
    History,
    Principal,
    Recall,
    Reply,
    Search,
    Session,
    Sink,
    Target,
    Write,
    verbs_needed,
)
from sectum.gate import Stopped
from sectum.manifest import Marker
from sectum.plan import DECOY, Shared, Trial
from sectum.ports import Arm, ArmView, Attack, arms_of
from sectum.reach import Reach, identify, ignore, settle
from sectum.reasons import Reason
from sectum.scan import SIGHTING, Index, Part

Row = dict[str, Any]

_LOG = logging.getLogger(__name__)

_TELLING = 8
"""Characters from which on a location names a document whatever surface shows it; a small number may be another's."""


class ArmEnded(Exception):
    """This arm met items that nobody knows; it asks nothing more."""


@dataclass(slots=True)
class World:
    """What a run knows of all surfaces together while it probes."""

    markers: Mapping[str, Marker]
    """Markers and decoys by id."""
    index: Index
    locations: dict[str, str] = field(default_factory=dict, repr=False)
    """Marker id -> where it is; decoys: where nothing ever was."""
    faults: dict[str, Reason] = field(default_factory=dict)
    """Marker id -> why it cannot be looked for."""
    planted: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    """Surface and location -> marker planted there."""
    elsewhere: dict[str, str] = field(default_factory=dict, repr=False)
    """Location that is long enough to name a document on any surface -> marker planted there."""
    named: dict[tuple[str, Principal], frozenset[str]] = field(default_factory=dict, repr=False)
    """Surface and principal -> locations that the scenario says he may find there."""
    sent: dict[tuple[Principal, str], set[Part]] = field(default_factory=dict, repr=False)
    """Principal and marker of another -> parts of it that he sent after planting: what he may get back from himself."""
    reported: set[tuple[str, str, Principal, str]] = field(default_factory=set)
    """Surface, attack, asker and marker of every sighting that has its Leak record."""
    shared: Shared = lambda _surface, _asker, _owner: False
    """Does the scenario declare that an asker may see an owner's data on a surface?"""
    arms: tuple[Arm, ...] = tuple(Arm)
    """The arms that are played now, with the clients that are open now."""
    attempt: int = 1
    on_leak: Callable[[str, Row], Awaitable[None]] | None = None
    """Called with surface and row so far the moment a foreign marker is seen."""

    def add_planted(self, surface: str, locations: Mapping[str, str]) -> None:
        """Take in where a surface's documents went: marker id -> location."""
        self.locations |= locations
        self.planted |= {(surface, location): marker for marker, location in locations.items()}
        self.elsewhere |= {where: marker for marker, where in locations.items() if len(where) >= _TELLING}

    def planted_at(self, surface: str, location: str) -> str | None:
        """The marker planted there; surfaces may share a store."""
        return self.planted.get((surface, location)) or self.elsewhere.get(location)

    def target(self, marker: str, owner: Principal) -> Target:
        """What an arm asks about; `owner` is the trial's."""
        about = self.markers[marker]
        return Target(marker, owner, about.topic, self.locations.get(marker, about.wanted))


def timestamp() -> str:
    """Now, RFC 3339 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outgoing(action: Action) -> str:
    """Every text that an action sends, for the scan of what goes out."""
    match action:
        case Write(title=title, text=text):
            return f"{title}\n{text}"
        case Ask(question=text) | AskCached(question=text) | Search(query=text):
            return text
        case Fetch(location=text) | History(location=text) | Delete(location=text) | Recall(cue=text):
            return text
        case Batch(locations=many):
            return "\n".join(many)
    return ""


def empty_row(trial: Trial, fault: Reason | None, attempt: int = 1) -> Row:
    """A row of a trial in which nothing was done yet."""
    return {**trial.row(), "attempt": attempt, "fault": str(fault) if fault else None, "arms": []}


class ArmPlay:
    """One arm of one trial while it is played: the `ask` that its attack gets, and the arm's part of the row."""

    def __init__(self, world: World, reach: Reach, trial: Trial, arm: Arm, row: Row) -> None:
        self._world, self._reach, self._trial, self._arm, self._row = world, reach, trial, arm, row
        self._asker = trial.owner if arm.by_owner else trial.asker
        self._reader = world.index.reader()
        self._seen: dict[str, dict[str, Any]] = {}
        self.log: dict[str, Any] = {
            "arm": str(arm),
            "asker": asdict(self._asker),
            "started": timestamp(),
            "ended": timestamp(),
            "answers": [],
            "seen": [],
            "sent": [],
            "unknown": 0,
            "closedWorld": True,
            "identity": "unproven",
        }
        row["arms"].append(self.log)
        self.stopped: Reason | None = None
        """Why a request could not be made, whatever the attack made of the exception."""
        self.unrecorded: Exception | None = None
        """What kept a sighting from being stored."""

    @property
    def view(self) -> ArmView:
        """What the attack gets to know."""
        spec = self._trial.decoy if self._arm == Arm.DECOY else self._trial.marker
        target = self._world.target(spec.id, self._trial.owner)
        return ArmView(self._arm, self._trial.phrasing, target, self._trial.slot)

    async def ask(self, action: Action) -> AnswerKind:
        """Do the action as the arm's asker, scan what goes out and what comes back; raises Stopped, ArmEnded."""
        if self.log["unknown"]:
            raise ArmEnded
        try:
            return await self._ask(action)
        except Stopped as stop:
            self.stopped = self.stopped or stop.reason
            raise

    async def _ask(self, action: Action) -> AnswerKind:
        if action.session_of is not None:
            action = replace(action, session=self._reach.sessions[action.session_of].session_id)
        # A session's id is the server's own text: it must not smuggle a marker through us.
        self._scan_outgoing("\n".join((outgoing(action), action.session or "")))
        session = self._reach.sessions[self._asker]
        free_text = isinstance(action, (Ask, AskCached))
        if free_text:
            self._reach.gate.count_text(len(outgoing(action)))

        def sink(text: str) -> None:
            if free_text:
                self._reach.gate.count_text(len(text))
            self._reader.feed(text)

        if not verbs_needed(action) <= self._reach.verbs:
            raise Stopped(Reason.PROBE_CRASHED)
        reply = await self._replied(session, action, sink)
        # That a forged token is refused is as it should be; that the asker's own is refused says nothing.
        fended = action.token is not None and reply.kind == AnswerKind.UNAUTHENTICATED
        self.log["answers"].append(str(AnswerKind.TOKEN_REFUSED if fended else reply.kind))
        for sighting in self._reader.end_answer():
            form = "+".join(sighting.form) or "plain"
            entry = {"marker": sighting.marker, "bits": sighting.bits, "form": form, "split": sighting.split}
            self._seen.setdefault(sighting.marker, entry)
        self.log["seen"] = [self._seen[marker] for marker in sorted(self._seen)]
        self.log["sent"] = sorted(marker for marker in self._seen if self._may_be_an_echo(marker))
        self.log["unknown"] += sum(self._is_unknown(item.location, item.text) for item in reply.items or ())
        answered = reply.kind in (AnswerKind.ITEMS, AnswerKind.CACHED)
        self.log["closedWorld"] &= not answered or reply.items is not None
        self.log["ended"] = timestamp()
        await self._report()
        return reply.kind

    async def _replied(self, session: Session, action: Action, sink: Sink) -> Reply:
        """The reply; where somebody else asks beside, both requests are under way at the same moment."""
        gate, verb = self._reach.gate, VERB_OF[type(action)]
        if action.beside is None:
            write = isinstance(action, (Write, Delete))
            return await gate.send(lambda: session.perform(action, sink), verb=verb, write=write)
        who, other = action.beside
        companion = replace(other, correlation=action.correlation)
        kinds: list[AnswerKind] = []

        async def both() -> Reply:
            # Theirs goes first: where the later overwrites the earlier, or the first answer is both's, it is ours.
            theirs, mine = await asyncio.gather(
                self._reach.sessions[who].perform(companion, ignore), session.perform(action, sink)
            )
            kinds.append(theirs.kind)
            return mine

        reply = await gate.send(both, requests=2)  # of no verb: two at once may take longer than one
        if self._arm == Arm.FOREIGN and kinds[-1] not in (AnswerKind.ITEMS, AnswerKind.CACHED):
            self.log["answers"].append(str(AnswerKind.UNMET))  # then nothing is shown
        return reply

    def _scan_outgoing(self, text: str) -> None:
        """No arm but the owner's may send a form of what it looks for, unless its attack must (and says so)."""
        sent = self._world.index.sent(text)
        looked_for = {self._trial.marker.id, self._trial.decoy.id}
        if not self._arm.by_owner and not self._trial.sends_marker and sent.keys() & looked_for:
            raise Stopped(Reason.ECHO)
        for marker, parts in sent.items():
            if self._world.markers[marker].spec.owner != self._asker:
                self._world.sent.setdefault((self._asker, marker), set()).update(parts)

    def _may_be_an_echo(self, marker: str) -> bool:
        """Is so much of it what the asker had sent that the rest is no sighting? Ids hold a part by chance."""
        sent = self._world.sent.get((self._asker, marker))
        return sent is not None and self._seen[marker]["bits"] - self._world.index.weigh(marker, sent) < SIGHTING

    def _is_unknown(self, location: str, text: str) -> bool:
        """Is it an item that neither this run planted for the asker nor the scenario names?"""
        marker = self._world.planted_at(self._reach.name, location)
        if marker is not None:
            # Another's document is no unknown once its marker was seen: that is a sighting, and judged as such.
            owner = self._world.markers[marker].spec.owner
            allowed = owner == self._asker or self._world.shared(self._reach.name, self._asker, owner)
            return not allowed and marker not in self._seen
        if location in self._world.named.get((self._reach.name, self._asker), frozenset()):
            return False
        reader = self._world.index.reader()
        reader.feed(text)
        return not reader.end_answer()  # with a marker in it, it is the asker's own or a sighting: judged as such

    async def _report(self) -> None:
        """A new foreign marker was seen: read the identity again on this client, and store the sighting at once."""
        shared, surface = self._world.shared, self._reach.name
        fresh = set()
        for marker in self._seen:
            owner = self._world.markers[marker].spec.owner
            if owner not in (self._asker, DECOY) and not shared(surface, self._asker, owner):
                fresh.add((surface, self._trial.attack, self._asker, marker))
        fresh -= self._world.reported
        if not fresh:
            return
        self._world.reported |= fresh
        await prove(self._reach, [self._row], self._world.arms)
        if self._world.on_leak is not None:
            try:
                await self._world.on_leak(self._reach.name, self._row)
            except Exception as error:
                self.unrecorded = error
                raise


async def play(world: World, reach: Reach, trial: Trial, arms: tuple[Arm, ...], row: Row) -> None:
    """Some arms of one trial, in order, until one cannot be played; `row` fills while it goes on.

    Until its last arm has ended a trial counts as cancelled: what it saw so far stands, if the run is stopped.
    """
    attack = catalog.attacks()[trial.attack]
    earlier = Reason(row["fault"]) if row["fault"] not in (None, Reason.CANCELLED) else None
    fault = earlier or reach.fault or reach.gate.stopped or world.faults.get(trial.marker.id)
    row["fault"] = str(Reason.CANCELLED)
    for arm in () if fault else arms:
        player = ArmPlay(world, reach, trial, arm, row)
        fault = await _attempt(attack, player)
        if player.unrecorded is not None:
            raise player.unrecorded  # a run whose evidence cannot be stored does not go on
        if fault:
            break
    unfinished = Reason.CANCELLED if arms[-1] == Arm.BASELINE else None
    row["fault"] = str(fault or unfinished) if fault or unfinished else None


async def _attempt(attack: Attack, player: ArmPlay) -> Reason | None:
    """Play one arm; why it could not be played to its end, even where the attack swallows what `ask` raised."""
    try:
        await attack.attempt(player.view, player.ask)
    except (ArmEnded, Stopped):
        return player.stopped
    except Exception as error:  # noqa: BLE001  (a plug-in's fault must not pass for a clean result)
        _LOG.error("%s: a probe crashed with %s", attack.name, type(error).__name__)
        return player.stopped or Reason.PROBE_CRASHED
    return player.stopped


AFTER_PLANTING = arms_of(baseline=False)
BEFORE_PLANTING = (Arm.BASELINE,)


async def probe(
    world: World,
    reach: Reach,
    trials: tuple[Trial, ...],
    *,
    rows: dict[str, Row],
    done: Callable[[Row], None],
) -> None:
    """Play a surface's trials, in random order within a wave; fills `rows` by slot as trials end.

    Attacks that ask at once and later come first, one after another like all others, each without what it asks later;
    that comes when all else is done and the surface has settled.
    Arms stay `unproven` until `prove` has read every asker's identity once more.
    """
    attacks = catalog.attacks()
    later = [trial for trial in trials if attacks[trial.attack].later(trial.phrasing)]
    waiting, impatient = {trial.slot for trial in later}, {trial.attack for trial in later}
    places = asyncio.Semaphore(reach.surface.budget.in_flight)

    async def one(trial: Trial) -> None:
        async with places:
            row = rows.setdefault(trial.slot, empty_row(trial, Reason.CANCELLED, world.attempt))
            await play(world, reach, trial, world.arms, row)
            done(row)

    async def play_wave(wave: list[Trial]) -> None:
        random.shuffle(wave)  # order must not line up with askers; no secret hangs on it
        async with asyncio.TaskGroup() as group:
            for trial in wave:
                group.create_task(one(trial))

    for name in sorted({trial.attack for trial in trials}, key=lambda name: (name not in impatient, name)):
        await play_wave([trial for trial in trials if trial.attack == name and trial.slot not in waiting])
    if later:
        await settle(reach)
        await play_wave(later)


async def prove(reach: Reach, rows: list[Row], arms: tuple[Arm, ...]) -> None:
    """Read the askers' identities again and mark those arms of theirs that they played with the clients open now."""
    played = [arm for row in rows for arm in row["arms"] if arm["arm"] in arms and arm["identity"] == "unproven"]
    askers = sorted({Principal(**arm["asker"]) for arm in played})
    askers = [each for each in askers if reach.identified.get(each) and each in reach.sessions]
    after = dict(zip(askers, await asyncio.gather(*(identify(reach, each) for each in askers)), strict=True))
    for arm in played:
        if after.get(Principal(**arm["asker"])):
            arm["identity"] = "proven"

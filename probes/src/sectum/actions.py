"""What may be asked of a surface -> typed actions, and what came back -> a Reply that never shows its content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Verb(StrEnum):
    """What a surface can do; an adapter implements those it can, an attack names those it needs."""

    WHOAMI = "whoami"
    WRITE = "write"
    FETCH = "fetch"
    BATCH = "batch"
    LIST = "list"
    SEARCH = "search"
    ASK = "ask"
    ASK_CACHED = "askCached"
    RECALL = "recall"
    HISTORY = "history"
    DELETE = "delete"
    # What follows is no request of its own, but something that a request can be made with, or an answer tells.
    CALL = "call"
    CORRELATE = "correlate"
    REUSE_SESSION = "reuseSession"
    PRESENT_TOKEN = "presentToken"  # noqa: S105  (no password)
    TELL_CACHED = "tellCached"
    EXACT_CACHE = "exactCache"
    RECALL_OPEN = "recallOpen"


class Impact(StrEnum):
    """What an attack does to the system under test; the last two need the scenario's consent."""

    READ = "read"
    WRITE_OWN = "write-own"
    VISIBLE_TO_OTHERS = "visible-to-others"
    LOAD = "load"


@dataclass(frozen=True, slots=True, order=True)
class Principal:
    """A user of a tenant, by the scenario's names."""

    tenant: str
    user: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.user}"


@dataclass(frozen=True, slots=True)
class Target:
    """What an arm asks about: a planted marker's document, or a decoy's that was never planted.

    `owner` is the marker's, in the decoy arm too: a claim there names the same victim. `topic` is no secret: what the
    document is about, and on most surfaces every user has a document about it.
    """

    marker: str
    owner: Principal
    topic: str
    location: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Action:
    """One request, and how it is made.

    Attributes:
        claim: a spoofed tenant field of the adapter's `claims`, filled with `as_if`.
        token: one of the adapter's forged `tokens`, in the name of `as_if`, instead of the client's own credential.
        correlation: the id that the protocol puts on the request (JSON-RPC), instead of one of the client's own.
        session_of: whose session id to send, with the client's own credential; filled into `session` by `ask`.
        beside: what that principal asks at the same moment on his own client, with the same `correlation`.
    """

    claim: str | None = field(default=None, kw_only=True)
    as_if: Principal | None = field(default=None, kw_only=True)
    token: str | None = field(default=None, kw_only=True)
    correlation: str | None = field(default=None, kw_only=True)
    session_of: Principal | None = field(default=None, kw_only=True)
    session: str | None = field(default=None, kw_only=True, repr=False)
    beside: tuple[Principal, Action] | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class WhoAmI(Action):
    """Who does the surface say that this client is?"""


@dataclass(frozen=True, slots=True)
class Write(Action):
    """Store a document as its owner; `wanted` is the location to use where the surface lets the client choose."""

    title: str
    text: str = field(repr=False)
    wanted: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fetch(Action):
    """Read one document by its location."""

    location: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch(Action):
    """Read several documents by location in one request."""

    locations: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class List(Action):
    """List what this principal may see, page by page."""


@dataclass(frozen=True, slots=True)
class Search(Action):
    """Find documents by meaning or words."""

    query: str


@dataclass(frozen=True, slots=True)
class Ask(Action):
    """Put a question to the application, past any answer cache."""

    question: str


@dataclass(frozen=True, slots=True)
class AskCached(Action):
    """Put a question to the application as its users do, answer cache included."""

    question: str


@dataclass(frozen=True, slots=True)
class Recall(Action):
    """Ask a memory for what it holds on a cue."""

    cue: str


@dataclass(frozen=True, slots=True)
class History(Action):
    """Read what was said in a conversation, by its id."""

    location: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete(Action):
    """Remove a document as its owner."""

    location: str = field(repr=False)


VERB_OF: dict[type[Action], Verb] = {
    WhoAmI: Verb.WHOAMI,
    Write: Verb.WRITE,
    Fetch: Verb.FETCH,
    Batch: Verb.BATCH,
    List: Verb.LIST,
    Search: Verb.SEARCH,
    Ask: Verb.ASK,
    AskCached: Verb.ASK_CACHED,
    Recall: Verb.RECALL,
    History: Verb.HISTORY,
    Delete: Verb.DELETE,
}


def verbs_needed(action: Action) -> frozenset[Verb]:
    """All that a surface must be able to do for this action."""
    ways = {
        Verb.PRESENT_TOKEN: action.token,
        Verb.CORRELATE: action.correlation,
        Verb.REUSE_SESSION: action.session_of,
    }
    beside = verbs_needed(action.beside[1]) if action.beside else frozenset()
    return frozenset({VERB_OF[type(action)], *(verb for verb, used in ways.items() if used is not None)}) | beside


class AnswerKind(StrEnum):
    """Every kind of answer is kept apart: the difference between two of them can tell that an object exists."""

    ITEMS = "items"  # 2xx with at least one item or some text
    CACHED = "cached"  # the same, and the surface says that it came out of its answer cache
    EMPTY = "empty"  # 2xx with nothing in it
    UNAUTHENTICATED = "unauthenticated"  # 401
    TOKEN_REFUSED = "token-refused"  # noqa: S105  # the same, to a forged token: as it should be
    DENIED = "denied"  # 403, or the database refused the statement
    NOT_FOUND = "not-found"  # 404, 410
    REJECTED = "rejected"  # another 4xx
    THROTTLED = "throttled"  # 429 after backoff
    SERVER_ERROR = "server-error"  # 5xx after backoff
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REDIRECTED = "redirected"  # away from the configured origin: not followed
    TOO_LARGE = "too-large"  # beyond the bound on bytes; what came before it was scanned
    TOO_DEEP = "too-deep"  # nested beyond the bound
    MALFORMED = "malformed"  # not what the scenario says this verb returns
    UNMET = "unmet"  # what somebody else asked beside brought him nothing: the two requests did not meet


CLEAN_REFUSALS = frozenset(
    {AnswerKind.EMPTY, AnswerKind.DENIED, AnswerKind.NOT_FOUND, AnswerKind.REJECTED, AnswerKind.TOKEN_REFUSED}
)
"""A foreign arm may end in one of these, or in items that are all the asker's own, and still be clean."""

FAULTS = frozenset(AnswerKind) - CLEAN_REFUSALS - {AnswerKind.ITEMS, AnswerKind.CACHED}
"""Answers that say nothing about isolation: an arm that ends in one is Inconclusive."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object out of an answer, for as long as it is judged; never kept, never shown."""

    location: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an adapter made of one answer.

    `items` is None for verbs whose answers are free text (then the closed world does not apply); `location` is where a
    Write went; `identity` is what WhoAmI found: does the surface say that this client is the principal it should be?
    """

    kind: AnswerKind
    items: tuple[Item, ...] | None = None
    location: str | None = field(default=None, repr=False)
    identity: bool | None = None


Sink = Callable[[str], None]
"""Takes the text of an answer, piece by piece, while it arrives."""


class Session(Protocol):
    """One principal's client on one surface: one connection or one cookie jar, never shared."""

    @property
    def session_id(self) -> str | None:
        """What the server called this session, where it can be named by others; no one shows or keeps it."""
        ...

    async def perform(self, action: Action, sink: Sink) -> Reply:
        """Do the action; feed every text of the answer (headers too) to `sink`; raise nothing for a bad answer."""
        ...

"""What the scenario says on a verb: the request, and what its answer promises -> a Reply out of an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from sectum.actions import AnswerKind, Reply, Sink, Verb
from sectum.fields import Strict, Text, placeholders
from sectum.web.documents import leaves, parse
from sectum.web.jsonpaths import Path, find, items_at, rows_at, text_at
from sectum.web.templates import PRINCIPAL, Request, Template, Values, check_template

Expected = Annotated[dict[Path, Template], Field(min_length=1, max_length=16)]
"""JSONPath -> the one value that must be there."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One answer as it came; `fault` is None for a whole 2xx."""

    fault: AnswerKind | None
    body: bytes = field(repr=False)
    content_type: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, understood; `document` is Ellipsis when it is not JSON."""

    fault: AnswerKind | None
    text: str = field(repr=False)
    document: Any = field(repr=False)
    size: int


def understood(arrived: Arrived, *, depth: int, sink: Sink) -> Answer:
    """A JSON answer; the sink gets its leaves, or the text as it came where it is no JSON or too deep."""
    encoding = json.detect_encoding(arrived.body)
    if not encoding.startswith("utf-8"):
        sink(arrived.body.decode("utf-8", "replace") + "\n")  # two first bytes must not hide what follows them
    parsed = parse(arrived.body.decode(encoding, "replace"), depth=depth)
    text = parsed.text + "\n"
    sink(text)
    fault = arrived.fault or (AnswerKind.TOO_DEEP if parsed.too_deep else None)
    return Answer(fault=fault, text=text, document=parsed.document, size=len(arrived.body))


def matches(expected: Mapping[str, str], document: Any, values: Values) -> bool:
    """Does each path find its one value? Raises BrokenPromise where there is no JSON."""
    names = {True: "true", False: "false", None: "null"}
    for path, template in expected.items():
        found = find(path, document)
        said = [names[node] if node is None or isinstance(node, bool) else node for node in found]
        if said != [values.text(template)]:
            return False
    return True


class Call(Strict):
    """A request and what its answer promises; subclasses read the answer."""

    knows: ClassVar[frozenset[str]] = frozenset()
    request: Request
    """The request."""

    @model_validator(mode="after")
    def _known(self) -> Call:
        self.request.check(self.knows | PRINCIPAL)
        return self

    def also(self) -> frozenset[Verb]:
        """What it makes possible beside its own verb."""
        return frozenset()

    def understand(self, arrived: Arrived, *, depth: int, sink: Sink) -> Answer:
        """Take an answer apart, and feed every text of it to the sink."""
        return understood(arrived, depth=depth, sink=sink)

    def read(self, answer: Answer, _values: Values) -> Reply:
        """What a whole 2xx answer says; raises BrokenPromise."""
        return Reply(AnswerKind.EMPTY)

    def failed(self, kind: AnswerKind) -> Reply:
        """The reply where there is no such answer."""
        return Reply(kind)


class DeleteCall(Call):
    """Removes a document; any 2xx is EMPTY."""

    knows = frozenset({"location"})


class WhoAmICall(Call):
    """Proves which principal the surface takes this client for."""

    expect: Expected
    """JSONPath -> the value that must be there; {tenant} and {user} must both be mentioned."""

    @model_validator(mode="after")
    def _proves(self) -> WhoAmICall:
        for template in self.expect.values():
            check_template("expect", template, PRINCIPAL)
        if missing := sorted(PRINCIPAL - placeholders("\n".join(self.expect.values()))):
            raise ValueError(f"expect proves no {missing[0]}: let a value mention {{{missing[0]}}}")
        return self

    def read(self, answer: Answer, values: Values) -> Reply:
        """Is every expected value there?"""
        return Reply(AnswerKind.ITEMS, identity=matches(self.expect, answer.document, values))

    def failed(self, kind: AnswerKind) -> Reply:
        """Nobody was named."""
        return Reply(kind, identity=False)


class WriteCall(Call):
    """Stores a document; any 2xx with a location is ITEMS."""

    knows = frozenset({"title", "text", "wanted"})
    location: Path | None = None
    """Where the answer says under which id it was stored; not needed where {wanted} is in the request."""

    @model_validator(mode="after")
    def _located(self) -> WriteCall:
        if self.location is None and "wanted" not in self.request.mentioned():
            raise ValueError(
                "location is missing: say where the answer has the new id, or put {wanted} into the request"
            )
        return self

    def read(self, answer: Answer, values: Values) -> Reply:
        """Where it went."""
        location = values.one["wanted"] if self.location is None else text_at(self.location, answer.document)
        return Reply(AnswerKind.ITEMS, location=location)


class ItemsCall(Call):
    """Returns items."""

    items: Path = "$"
    """The items in the answer: $ for one document, $.items[*] for each of a list."""
    id: Path = "$.id"
    """The location in an item."""

    def read(self, answer: Answer, _values: Values) -> Reply:
        """The items."""
        items = items_at(self.items, self.id, answer.document)
        return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)

    def failed(self, kind: AnswerKind) -> Reply:
        """No items."""
        return Reply(kind, items=())


class FetchCall(ItemsCall):
    """Reads one document by its location."""

    knows = frozenset({"location"})


class BatchCall(ItemsCall):
    """Reads several documents in one request."""

    knows = frozenset({"locations"})


class SearchCall(ItemsCall):
    """Finds documents."""

    knows = frozenset({"query"})


class RecallCall(ItemsCall):
    """Asks a memory for what it holds on a cue."""

    knows = frozenset({"cue"})
    open: bool = False
    """Does it bring the owner's memories for a cue that says nothing of them? Then such cues are tried too."""

    def also(self) -> frozenset[Verb]:
        """Whether open cues can be tried."""
        return frozenset({Verb.RECALL_OPEN} if self.open else ())


class HistoryCall(ItemsCall):
    """Reads a conversation by its id."""

    knows = frozenset({"location"})


class ListCall(ItemsCall):
    """Lists documents, page by page."""

    next: Path | None = None
    """The link to the next page, or the cursor for `nextParam`; absent, null or empty on the last page."""
    next_param: Text | None = None
    """Query parameter that takes the cursor."""

    def link(self, answer: Answer) -> str | None:
        """The next page's link or cursor; raises BrokenPromise when it is neither text nor absent."""
        found = find(self.next, answer.document) if self.next else []
        if not found or found[0] in (None, "", False):
            return None
        return text_at(self.next or "$", answer.document)


class AskCall(Call):
    """Puts a question to the application."""

    knows = frozenset({"question"})
    answer: Path | None = None
    """The answer's text; left out: the whole answer."""
    citations: Path | None = None
    """The cited items, for the closed world."""
    id: Path = "$.id"
    """The location in a cited item."""

    def read(self, answer: Answer, _values: Values) -> Reply:
        """EMPTY for a blank answer without citations."""
        items = None if self.citations is None else items_at(self.citations, self.id, answer.document)
        said = "\n".join(leaves(rows_at(self.answer, answer.document))) if self.answer else answer.text
        return Reply(AnswerKind.ITEMS if items or said.strip() else AnswerKind.EMPTY, items=items)


class AskCachedCall(AskCall):
    """Puts a question to the application as its users do, answer cache included."""

    exact: bool = False
    """Does the cache know only the very same question? Then no paraphrase is tried."""
    cached: Expected | None = None
    """JSONPath -> the value that is there when the answer came out of the cache, such as $.cached: "true"."""

    @model_validator(mode="after")
    def _tells(self) -> AskCachedCall:
        for template in (self.cached or {}).values():
            check_template("cached", template, PRINCIPAL)
        return self

    def also(self) -> frozenset[Verb]:
        """Whether its answers tell that they were cached, and whether paraphrases make no sense."""
        return frozenset(
            verb for verb, said in ((Verb.TELL_CACHED, self.cached), (Verb.EXACT_CACHE, self.exact)) if said
        )

    def read(self, answer: Answer, values: Values) -> Reply:
        """CACHED instead of ITEMS where the answer says so."""
        return cached_or_not(super().read(answer, values), self.cached, answer, values)


def cached_or_not(reply: Reply, cached: Mapping[str, str] | None, answer: Answer, values: Values) -> Reply:
    """The reply, its kind CACHED instead of ITEMS where the answer says so."""
    if reply.kind != AnswerKind.ITEMS or cached is None or not matches(cached, answer.document, values):
        return reply
    return Reply(AnswerKind.CACHED, items=reply.items)

"""A model's name and a few switches -> a client that asks an OpenAI-compatible chat endpoint as one principal.

https://platform.openai.com/docs/api-reference/chat, as vLLM, llama.cpp, LiteLLM, Ollama and many gateways speak it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, JsonValue, field_validator, model_validator

from sectum.actions import AnswerKind, Reply, Sink, Verb
from sectum.fields import Text
from sectum.ports import Adapter
from sectum.web import events
from sectum.web.api import WebApi
from sectum.web.calls import Answer, Arrived, Call, Expected, cached_or_not, understood
from sectum.web.chunks import Merged, Strings
from sectum.web.documents import BrokenPromise, Parsed, clean, parse
from sectum.web.jsonpaths import Path, items_at
from sectum.web.templates import PRINCIPAL, Fields, PathTemplate, Request, Template, Values, check_template, strings

_OWN = frozenset({"messages", "model", "stream"})
_EVENTS = "text/event-stream"
_DONE = "[DONE]"
_RANKED = (AnswerKind.SERVER_ERROR, AnswerKind.TOO_DEEP, AnswerKind.MALFORMED)


def _checked_body(body: JsonValue) -> JsonValue:
    if not isinstance(body, dict | None):
        raise ValueError("must be an object; its fields are put into the request's")
    if mine := sorted(_OWN & set(body or ())):
        raise ValueError(f"{mine[0]} is not to be set here")
    return body


class Chat(Fields):
    """How one way of asking differs from the other: more query parameters, header and body fields."""

    _objects = field_validator("body")(_checked_body)

    @model_validator(mode="after")
    def _known(self) -> Chat:
        self.check(PRINCIPAL)
        return self


class ChatCached(Chat):
    """The same, through the answer cache."""

    exact: bool = False
    """Does the cache know only the very same question? Then no paraphrase is tried."""
    cached: Expected | None = None
    """JSONPath in the (joined) answer -> the value that is there when it came out of the cache."""

    @model_validator(mode="after")
    def _tells(self) -> ChatCached:
        for template in (self.cached or {}).values():
            check_template("cached", template, PRINCIPAL)
        return self


class OpenAiSpec(WebApi):
    """An OpenAI-compatible chat endpoint, and the requests for the documents behind it, as in the http adapter."""

    path: PathTemplate = "/v1/chat/completions"
    """The endpoint's path below the origin."""
    model: Text
    """Name of the model; {tenant} and {user} are filled in, here as in all that follows."""
    system: Template | None = None
    """A system prompt to send before the question."""
    stream: bool = True
    """Ask for a stream of events; an answer in the other way is malformed."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = 256
    """Tokens that an answer may have; null leaves the field out."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0
    """0 lets a question be repeated; null leaves the field out."""
    body: Annotated[dict[Text, JsonValue], Field(alias="json", max_length=64)] = Field(default_factory=dict)
    """Further fields of the request's body."""
    ask: Chat | None = None
    """Ask past the answer cache: {} where there is none, else what goes around it, such as a Cache-Control header."""
    ask_cached: ChatCached | None = None
    """Ask as users do, answer cache included; {} where that takes nothing more."""
    citations: Path | None = None
    """The cited items in the (joined) answer, for the closed world."""
    id: Path = "$.id"
    """The location in a cited item."""

    _objects = field_validator("body")(_checked_body)

    @model_validator(mode="after")
    def _asks(self) -> OpenAiSpec:
        if self.ask is None and self.ask_cached is None:
            raise ValueError("give ask, askCached or both: {} asks with nothing but the question")
        alone = (("path", self.path), ("model", self.model), ("system", self.system or ""))
        for field_name, template in (*alone, *(("json", text) for text in strings(self.body))):
            check_template(field_name, template, PRINCIPAL)
        return self

    def call(self, verb: Verb) -> Call | None:
        """What the scenario says on a verb; the two ways of asking become requests."""
        if verb == Verb.ASK:
            return None if self.ask is None else self._chat(self.ask, {})
        if verb == Verb.ASK_CACHED:
            way = self.ask_cached
            return None if way is None else self._chat(way, {"cached": way.cached, "exact": way.exact})
        return super().call(verb)

    def _chat(self, way: Chat, cache: dict[str, Any]) -> ChatCall:
        prompt: list[JsonValue] = [] if self.system is None else [{"role": "system", "content": self.system}]
        body: dict[str, JsonValue] = {
            "model": self.model,
            "messages": [*prompt, {"role": "user", "content": "{question}"}],
            "stream": self.stream,
            **({} if self.max_tokens is None else {"max_tokens": self.max_tokens}),
            **({} if self.temperature is None else {"temperature": self.temperature}),
            **self.body,
            **(way.body if isinstance(way.body, dict) else {}),
        }
        headers = {"Accept": f"{_EVENTS}, application/json"} if self.stream else {}
        request = Request(method="POST", path=self.path, query=way.query, headers={**headers, **way.headers}, body=body)
        return ChatCall(request=request, stream=self.stream, citations=self.citations, id=self.id, **cache)


class ChatCall(Call):
    """Puts a question to the model; the answer is one document, joined out of its chunks where it is a stream."""

    knows: ClassVar[frozenset[str]] = frozenset({"question"})
    stream: bool
    citations: Path | None
    id: Path
    cached: Expected | None = None
    exact: bool = False

    def also(self) -> frozenset[Verb]:
        """Whether its answers tell that they were cached, and whether paraphrases make no sense."""
        return frozenset(
            verb for verb, said in ((Verb.TELL_CACHED, self.cached), (Verb.EXACT_CACHE, self.exact)) if said
        )

    def understand(self, arrived: Arrived, *, depth: int, sink: Sink) -> Answer:
        """Events are joined whatever the status or the header calls them: a marker must not hide between two."""
        text = arrived.body.decode("utf-8", "replace")
        if not events.is_stream(text):
            answer = understood(arrived, depth=depth, sink=sink)
            fault = answer.fault or _fault(answer.document) or (AnswerKind.MALFORMED if self.stream else None)
            return Answer(fault, answer.text, answer.document, answer.size)
        joined = _Joined(text, depth=depth)
        sink(joined.text)
        promised = self.stream and arrived.content_type == _EVENTS
        fault = arrived.fault or joined.fault or (None if promised else AnswerKind.MALFORMED)
        return Answer(fault, joined.text, joined.document, len(arrived.body))

    def read(self, answer: Answer, values: Values) -> Reply:
        """EMPTY for a blank answer without citations."""
        choices = answer.document.get("choices") if isinstance(answer.document, dict) else None
        if not isinstance(choices, list) or not choices:
            raise BrokenPromise
        items = None if self.citations is None else items_at(self.citations, self.id, answer.document)
        said = "".join([_said(choice) for choice in choices])
        kind = AnswerKind.ITEMS if items or said.strip() else AnswerKind.EMPTY
        return cached_or_not(Reply(kind, items=items), self.cached, answer, values)


def _said(choice: Any) -> str:
    """Every string value of a choice's message but its role; raises BrokenPromise where there is no message."""
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BrokenPromise
    return "".join(text for name, value in message.items() if name != "role" for text in strings(value))


def _fault(document: Any) -> AnswerKind | None:
    """SERVER_ERROR for an object that tells of an error, whatever the status was."""
    failed = isinstance(document, dict) and document.get("error") is not None
    return AnswerKind.SERVER_ERROR if failed else None


class _Joined:
    """A stream of chunks as one document.

    `text` is all that came, for the scan: each chunk's strings, lines that are no data, and what the strings say when
    they are put together. `fault` says why the stream is no whole answer.
    """

    def __init__(self, stream: str, *, depth: int) -> None:
        told, others = events.read(stream)
        pieces, said, merged, faults = [clean(line) for line in others], Strings(), Merged(), set[AnswerKind]()
        for event in told:
            parsed = parse(event.data, depth=depth)
            pieces.append(parsed.text)
            if event.data == _DONE and event is told[-1]:
                continue
            faults |= _faults(event, parsed)
            if isinstance(parsed.document, dict):
                said.add(parsed.document)
                merged.add(parsed.document)
        if told[-1].data != _DONE:
            faults.add(AnswerKind.MALFORMED)
        self.document = merged.whole()
        self.text = "\n".join([*pieces, *map(clean, said.texts())]) + "\n"
        self.fault = next((kind for kind in _RANKED if kind in faults), None)


def _faults(event: events.Event, parsed: Parsed) -> set[AnswerKind]:
    """What is wrong with one event."""
    failed = event.name == "error" or _fault(parsed.document) is not None
    no_chunk = AnswerKind.TOO_DEEP if parsed.too_deep else None if _is_chunk(parsed.document) else AnswerKind.MALFORMED
    return ({AnswerKind.SERVER_ERROR} if failed else set()) | ({no_chunk} if no_chunk else set())


def _is_chunk(document: Any) -> bool:
    """An object whose choices, if it has any, hold deltas; some servers send citations or usage in one without."""
    choices = document.get("choices", []) if isinstance(document, dict) else None
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and isinstance(choice.get("delta", {}), dict | None) for choice in choices
    )


ADAPTER = Adapter(
    name="openai", summary="An OpenAI-compatible chat endpoint, streaming or not, and its documents.", spec=OpenAiSpec
)

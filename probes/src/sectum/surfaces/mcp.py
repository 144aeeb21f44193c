"""The scenario's tools -> a client that calls an MCP server's tools as one principal and trusts no answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar

import httpx2
from pydantic import AfterValidator, Field, JsonValue, model_validator

from sectum.actions import VERB_OF, Action, AnswerKind, Principal, Reply, Session, Verb
from sectum.fields import Name, SecretRef, Strict, Text, placeholders
from sectum.ports import Access, Adapter, AdapterSpec
from sectum.rpc.client import Call, Target, opened
from sectum.web.calls import Expected, matches
from sectum.web.jsonpaths import Path, items_at, text_at
from sectum.web.templates import PRINCIPAL, Headers, Values, check_no_literal, check_template, named, strings
from sectum.web.tokens import Tokens


def _checked_url(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ValueError("is no URL; write for example https://tools.example.com/mcp") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or "?" in url or "#" in url:
        raise ValueError("must be scheme, host, port and path only: https://tools.example.com/mcp")
    return url


Arguments = Annotated[dict[Text, JsonValue], Field(max_length=64)]


class Tool(Strict):
    """A tool, what it is called with, and what its answer promises; subclasses read the answer."""

    knows: ClassVar[frozenset[str]] = frozenset()
    tool: Text
    """The tool's name."""
    arguments: Arguments = Field(default_factory=dict)
    """Its arguments."""

    @model_validator(mode="after")
    def _known(self) -> Tool:
        _check_arguments(self.arguments, self.knows | PRINCIPAL)
        return self

    def read(self, document: Any, _values: Values) -> Reply:
        """What a result says; raises BrokenPromise."""
        return Reply(AnswerKind.EMPTY)

    def failed(self, kind: AnswerKind) -> Reply:
        """The reply where there is no such result."""
        return Reply(kind)


def _check_arguments(arguments: Mapping[str, JsonValue], known: frozenset[str]) -> None:
    """Raises ValueError for a template that mentions what is not known, or a credential that is spelt out."""
    check_no_literal("arguments", {name: value for name, value in arguments.items() if isinstance(value, str)})
    for template in strings(dict(arguments)):
        check_template("arguments", template, known)


class WhoAmITool(Tool):
    """Proves which principal the server takes this client for."""

    expect: Expected
    """JSONPath -> the value that must be there; {tenant} and {user} must both be mentioned."""

    @model_validator(mode="after")
    def _proves(self) -> WhoAmITool:
        for template in self.expect.values():
            check_template("expect", template, PRINCIPAL)
        if missing := sorted(PRINCIPAL - placeholders("\n".join(self.expect.values()))):
            raise ValueError(f"expect proves no {missing[0]}: let a value mention {{{missing[0]}}}")
        return self

    def read(self, document: Any, values: Values) -> Reply:
        """Is every expected value there?"""
        return Reply(AnswerKind.ITEMS, identity=matches(self.expect, document, values))

    def failed(self, kind: AnswerKind) -> Reply:
        """Nobody was named."""
        return Reply(kind, identity=False)


class WriteTool(Tool):
    """Stores a document."""

    knows = frozenset({"title", "text", "wanted"})
    location: Path | None = None
    """Where the answer says under which id it was stored; not needed where {wanted} is among the arguments."""

    @model_validator(mode="after")
    def _located(self) -> WriteTool:
        if self.location is None and "wanted" not in placeholders("\n".join(strings(dict(self.arguments)))):
            raise ValueError(
                "location is missing: say where the answer has the new id, or put {wanted} into the arguments"
            )
        return self

    def read(self, document: Any, values: Values) -> Reply:
        """Where it went."""
        location = values.one["wanted"] if self.location is None else text_at(self.location, document)
        return Reply(AnswerKind.ITEMS, location=location)


class ItemsTool(Tool):
    """Returns items."""

    items: Path = "$"
    """The items in the answer: $ for one document, $.items[*] for each of a list."""
    id: Path = "$.id"
    """The location in an item."""

    def read(self, document: Any, _values: Values) -> Reply:
        """The items."""
        items = items_at(self.items, self.id, document)
        return Reply(AnswerKind.ITEMS if items else AnswerKind.EMPTY, items=items)

    def failed(self, kind: AnswerKind) -> Reply:
        """No items."""
        return Reply(kind, items=())


class FetchTool(ItemsTool):
    """Reads one document by its location."""

    knows = frozenset({"location"})


class SearchTool(ItemsTool):
    """Finds documents."""

    knows = frozenset({"query"})


class DeleteTool(Tool):
    """Removes a document; any result that is no error is EMPTY."""

    knows = frozenset({"location"})


class Tools(Strict):
    """Which tool does what; a verb that is left out is not tried."""

    whoami: WhoAmITool | None = None
    """Without it every trial is Inconclusive: IdentityUnproven."""
    write: WriteTool | None = None
    """Store a document."""
    fetch: FetchTool | None = None
    """Read one document."""
    list_: Annotated[ItemsTool | None, Field(alias="list")] = None
    """List documents."""
    search: SearchTool | None = None
    """Find documents."""
    delete: DeleteTool | None = None
    """Remove a document."""


class Claim(Strict):
    """A tenant that an argument names; {owner.tenant} and {owner.user} are the marker's owner's."""

    name: Name
    """Name of the claim, for reports."""
    arguments: Annotated[Arguments, Field(min_length=1)]
    """Arguments that are added to the tool's own, or take their place."""

    @model_validator(mode="after")
    def _known(self) -> Claim:
        _check_arguments(self.arguments, PRINCIPAL | {"owner.tenant", "owner.user"})
        if not placeholders("\n".join(strings(dict(self.arguments)))) & {"owner.tenant", "owner.user"}:
            raise ValueError("claims nothing: mention {owner.tenant} or {owner.user}")
        return self


_TOOLS = {Verb.LIST: "list_"} | {
    verb: str(verb) for verb in (Verb.WHOAMI, Verb.WRITE, Verb.FETCH, Verb.SEARCH, Verb.DELETE)
}
"""Verb -> the field of Tools that says how."""


class McpSpec(AdapterSpec):
    """An MCP server over streamable HTTP; its tools read, write and say who asks."""

    url: Annotated[
        str,
        Field(max_length=2048, json_schema_extra={"pattern": r"^https?://[^?#@\s]+$"}),
        AfterValidator(_checked_url),
    ]
    """The endpoint; no request leaves it."""
    headers: Headers = Field(default_factory=dict)
    """Header fields of every request; the only place for {credential}."""
    tools: Tools
    """Which tool does what."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=12)] = ()
    """Tenants as arguments."""
    tokens: Tokens | None = None
    """How tokens are forged for the run; left out: none are."""
    sessions: bool = True
    """Does the server name sessions (Mcp-Session-Id)? Then it is tried whether another's can be used."""

    @model_validator(mode="after")
    def _fits(self) -> McpSpec:
        check_no_literal("headers", self.headers)
        for template in self.headers.values():
            check_template("headers", template, PRINCIPAL | {"credential"})
        if len(set(self.claim_names())) < len(self.claims):
            raise ValueError("claims: two have one name")
        if self.tokens and "credential" not in placeholders("\n".join(self.headers.values())):
            raise ValueError("tokens: no header takes a {credential}, so none can take a forged one")
        return self

    def tool(self, verb: Verb) -> Tool | None:
        """What the scenario says on a verb."""
        tool: Tool | None = getattr(self.tools, _TOOLS.get(verb, ""), None)
        return tool

    def call(self, action: Action, who: Principal) -> Call | None:
        """The tool's call for an action of `who`, filled in; None for a verb that is not given."""
        tool = self.tool(VERB_OF[type(action)])
        if tool is None:
            return None
        values = Values({**named(who), **{name: getattr(action, name) for name in tool.knows}}, ())
        arguments = values.body(dict(tool.arguments))
        claim = next((each for each in self.claims if each.name == action.claim), None)
        if claim is not None and action.as_if is not None:
            owner = {f"owner.{name}": value for name, value in named(action.as_if).items()}
            arguments |= Values({**values.one, **owner}, ()).body(dict(claim.arguments))
        return Call(tool.tool, arguments, read=lambda document: tool.read(document, values), failed=tool.failed)

    def verbs(self) -> frozenset[Verb]:
        """Those of the tools, and the ways in which they can be called."""
        ways = {Verb.REUSE_SESSION: self.sessions, Verb.PRESENT_TOKEN: self.tokens is not None}
        also = {Verb.CALL, Verb.CORRELATE, *(verb for verb, offered in ways.items() if offered)}
        return frozenset({verb for verb in _TOOLS if self.tool(verb)} | also)

    def claim_names(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(claim.name for claim in self.claims)

    def token_names(self) -> tuple[str, ...]:
        """Those that can be forged."""
        return self.tokens.names() if self.tokens else ()

    def secret_refs(self) -> tuple[SecretRef, ...]:
        """The issuer's key."""
        return (self.tokens.issuer_key.secret_ref,) if self.tokens and self.tokens.issuer_key else ()

    def client_chooses_location(self) -> bool:
        """Is {wanted} among the arguments and no location read from the answer?"""
        return self.tools.write is not None and self.tools.write.location is None

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """A client with a session of its own, which it opens with its first call."""
        keys = [access.secret(each.name, each.key) for each in self.secret_refs()]
        target = Target(self.url, self.headers, self.call, self.tokens)
        async with opened(target, access, key=keys[0] if keys else None) as client:
            yield client


ADAPTER = Adapter(name="mcp", summary="An MCP server over streamable HTTP: which tool does what is data.", spec=McpSpec)

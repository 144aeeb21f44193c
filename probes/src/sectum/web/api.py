"""What every adapter of a web API has in its scenario: where it is, who asks, and its documents' requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field, model_validator
from pydantic.alias_generators import to_snake

from sectum.actions import VERB_OF, Session, Verb
from sectum.ports import Access, AdapterSpec
from sectum.web.calls import Call, DeleteCall, FetchCall, ListCall, WhoAmICall, WriteCall
from sectum.web.client import Client, Target
from sectum.web.templates import PRINCIPAL, Claim, Headers, Origin, check_no_literal, check_template, named
from sectum.web.wire import opened

_FIELDS = {verb: to_snake(verb) for verb in VERB_OF.values()} | {Verb.LIST: "list_"}
"""Verb -> the field that says how."""


class WebApi(AdapterSpec):
    """A web API with JSON answers; a verb that is left out is not tried."""

    origin: Origin
    """Scheme, host and port; no request, redirect or next link leaves it."""
    headers: Headers = Field(default_factory=dict)
    """Header fields of every request; the only place for {credential}."""
    whoami: WhoAmICall | None = None
    """Without it every trial is Inconclusive: IdentityUnproven."""
    write: WriteCall | None = None
    """Store a document."""
    fetch: FetchCall | None = None
    """Read one document."""
    list_: Annotated[ListCall | None, Field(alias="list")] = None
    """List documents."""
    delete: DeleteCall | None = None
    """Remove a document."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=12)] = ()
    """Tenant fields that can be spoofed."""

    @model_validator(mode="after")
    def _known(self) -> WebApi:
        check_no_literal("headers", self.headers)
        for template in self.headers.values():
            check_template("headers", template, PRINCIPAL | {"credential"})
        if len(set(self.claim_names())) < len(self.claims):
            raise ValueError("claims: two have one name")
        return self

    def call(self, verb: Verb) -> Call | None:
        """What the scenario says on a verb."""
        call: Call | None = getattr(self, _FIELDS.get(verb, ""), None)
        return call

    def verbs(self) -> frozenset[Verb]:
        """Those that are given, and what they make possible beside."""
        calls = {verb: call for verb in _FIELDS if (call := self.call(verb)) is not None}
        return frozenset(calls).union(*(call.also() for call in calls.values()))

    def claim_names(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(claim.name for claim in self.claims)

    def client_chooses_location(self) -> bool:
        """Is {wanted} in the write request and no location read from its answer?"""
        return self.write is not None and self.write.location is None

    @asynccontextmanager
    async def session(self, access: Access) -> AsyncIterator[Session]:
        """A client with its own connections and cookies; connects with its first request."""
        known = named(access.principal)
        target = Target(self.origin, self.call, self.claims)
        async with opened(self.headers, access) as wire:
            yield Client(target=target, known=known, bounds=access.bounds, wire=wire)

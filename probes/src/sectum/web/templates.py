"""The scenario's templates of requests -> what is sent, once they are filled with what an action is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, Field, JsonValue, model_validator

from sectum.actions import Principal
from sectum.fields import Name, Strict, Text, fill, placeholders

PRINCIPAL = frozenset({"tenant", "user"})
"""What every template knows."""

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]|^ | $")
CREDENTIAL = re.compile(r"authoriz|cookie|api-?_?key|token|secret|passw|credential|signature", re.IGNORECASE)
"""What the name of a header field or parameter has that carries a credential."""


def _checked_header(name: str) -> str:
    if name.lower() in ("content-length", "transfer-encoding"):
        raise ValueError("is not yours to set")
    return name


def _checked_origin(origin: str) -> str:
    try:
        url = httpx.URL(origin)
    except httpx.InvalidURL:
        raise ValueError("is no URL; write scheme, host and port: https://api.example.com:8443") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.raw_path != b"/" or "#" in origin:
        raise ValueError("must be scheme, host and port only: https://api.example.com:8443")
    return origin.rstrip("/")


Origin = Annotated[
    str,
    Field(max_length=512, json_schema_extra={"pattern": r"^https?://[^/?#@\s]+/?$"}),  # the validator says it better
    AfterValidator(_checked_origin),
]
Template = Annotated[str, Field(max_length=4096, coerce_numbers_to_str=True)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$"), AfterValidator(_checked_header)]
Headers = Annotated[dict[HeaderName, Template], Field(max_length=16)]
Query = Annotated[dict[Text, Template], Field(max_length=16)]
PathTemplate = Annotated[str, Field(pattern=r"^/[^?#\s\\]*$", max_length=2048)]


def named(who: Principal) -> dict[str, str]:
    """The values of PRINCIPAL."""
    return {"tenant": who.tenant, "user": who.user}


def check_no_literal(field_name: str, fields: Mapping[str, str]) -> None:
    """Raises ValueError for a header field or parameter that looks like a credential and is spelt out."""
    for name, template in fields.items():
        if CREDENTIAL.search(name) and template and not placeholders(template):
            raise ValueError(
                f"{field_name}.{name} looks like a credential, and the scenario is no place for one; put it into the "
                "surface's Secret and write {credential} in the adapter's headers"
            )


def check_template(field_name: str, template: str, known: frozenset[str]) -> None:
    """Raises ValueError when a template mentions what its verb has not, or {locations} among other text."""
    for unknown in sorted(placeholders(template) - known):
        raise ValueError(f"{field_name} mentions {{{unknown}}}; known here: {', '.join(sorted(known))}")
    if "locations" in placeholders(template) and (template != "{locations}" or field_name not in ("json", "query")):
        raise ValueError(f"{field_name}: {{locations}} must stand alone as a JSON string or a query value")


def strings(template: JsonValue) -> Iterator[str]:
    """Every string value of a JSON value; keys are none."""
    if isinstance(template, str):
        yield template
    for part in template.values() if isinstance(template, dict) else template if isinstance(template, list) else ():
        yield from strings(part)


@dataclass(frozen=True, slots=True)
class Values:
    """What templates are filled with."""

    one: Mapping[str, str] = field(repr=False)
    locations: tuple[str, ...] = field(repr=False)

    def text(self, template: str) -> str:
        """A template, filled."""
        return fill(template, self.one)

    def body(self, template: JsonValue) -> Any:
        """A JSON value, all its strings filled."""
        if isinstance(template, dict):
            return {name: self.body(part) for name, part in template.items()}
        if isinstance(template, list):
            return [self.body(part) for part in template]
        if isinstance(template, str):
            return list(self.locations) if template == "{locations}" else self.text(template)
        return template

    def headers(self, templates: Headers) -> dict[str, bytes] | None:
        """Lower-case names to bytes; None where a value would break out of its header."""
        filled = {name.lower(): self.text(template) for name, template in templates.items()}
        if any(_UNSENDABLE.search(value) for value in filled.values()):
            return None
        return {name: value.encode() for name, value in filled.items()}


class Fields(Strict):
    """Parts of a request that templates fill."""

    query: Query = Field(default_factory=dict)
    """Query parameters."""
    headers: Headers = Field(default_factory=dict)
    """Header fields; never a credential, which belongs into the adapter's `headers`."""
    body: Annotated[JsonValue, Field(alias="json")] = None
    """The JSON body; a string that is exactly "{locations}" becomes the list."""

    def check(self, known: frozenset[str]) -> None:
        """Raises ValueError for a template that mentions what is not known."""
        check_no_literal("query", self.query)
        check_no_literal("headers", self.headers)
        parts = (("query", self.query.values()), ("headers", self.headers.values()), ("json", strings(self.body)))
        for field_name, templates in parts:
            for template in templates:
                check_template(field_name, template, known)

    def mentioned(self) -> frozenset[str]:
        """Every name in every template."""
        return placeholders("\n".join((*self.query.values(), *self.headers.values(), *strings(self.body))))


class Request(Fields):
    """One HTTP request."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """HTTP method."""
    path: PathTemplate
    """Path below the origin; what fills it is percent-encoded."""

    def check(self, known: frozenset[str]) -> None:
        """Raises ValueError for a template that mentions what is not known."""
        check_template("path", self.path, known)
        super().check(known)

    def mentioned(self) -> frozenset[str]:
        """Every name in every template."""
        return super().mentioned() | placeholders(self.path)


class Claim(Fields):
    """A tenant field that can be spoofed; {owner.tenant} and {owner.user} are the marker's owner's."""

    name: Name
    """Name of the claim, for reports."""
    as_owner: bool = False
    """Fill {tenant} and {user} of the request itself with the owner's: for APIs with the tenant in the path."""

    @model_validator(mode="after")
    def _known(self) -> Claim:
        self.check(frozenset({"tenant", "user", "owner.tenant", "owner.user"}))
        if not (self.as_owner or self.mentioned() & {"owner.tenant", "owner.user"}):
            raise ValueError("claims nothing: mention {owner.tenant} or {owner.user}, or set asOwner")
        if not isinstance(self.body, dict | None):
            raise ValueError("json: must be an object; its fields are put into the request's")
        return self

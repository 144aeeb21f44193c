"""Shared shapes of the scenario's fields: strict models, bounded names and closed templates."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    """Frozen, camelCase in YAML, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


NAME_PATTERN = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
Name = Annotated[str, Field(max_length=40, pattern=NAME_PATTERN)]
"""A DNS label of at most 40 characters: names of tenants, users, surfaces and claims."""

Text = Annotated[str, Field(min_length=1, max_length=2048)]

_PLACEHOLDER = re.compile(r"\{([a-zA-Z.]+)\}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each ``{name}`` by its value; names that are not in `values` raise KeyError (checked at parse time)."""
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], template)


def placeholders(template: str) -> frozenset[str]:
    """The names that a template mentions."""
    return frozenset(_PLACEHOLDER.findall(template))


class SecretRef(Strict):
    """A key of a Secret; locally the file DIR/<name>/<key> under --secrets DIR."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?$", max_length=252)]
    """Name of the Secret."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9{}]+$", max_length=252)]
    """Key in the Secret; in a surface's credentials {tenant} and {user} stand for the principal's."""


Label = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
"""A label's value."""
LabelKey = Annotated[str, Field(max_length=317, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]{0,315}[A-Za-z0-9])?$")]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?$", max_length=252)]


class Pods(Strict):
    """Pods of one namespace."""

    namespace: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    """Name of the namespace."""
    labels: Annotated[dict[LabelKey, Label], Field(min_length=1, max_length=8)]
    """Labels that the pods have."""


class Egress(Strict):
    """A destination that the cluster's network lets a run's pods reach; the local run ignores it."""

    cidr: Annotated[str, Field(max_length=43)] | None = None
    """Addresses outside the cluster, such as 10.20.0.0/16."""
    pods: Pods | None = None
    """Pods in the cluster."""
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1, max_length=16)]
    """TCP ports; of pods: the containers' ports, not those of a Service before them."""

    @field_validator("cidr")
    @classmethod
    def _addresses(cls, cidr: str | None) -> str | None:
        if cidr is not None:
            try:
                ipaddress.ip_network(cidr if "/" in cidr else "")
            except ValueError:
                raise ValueError("must be a network such as 10.20.0.0/16 or fd00::/8, no host bits set") from None
        return cidr

    @model_validator(mode="after")
    def _exactly_one(self) -> Egress:
        if (self.cidr is None) == (self.pods is None):
            raise ValueError("give exactly one of: cidr, pods")
        return self


Destinations = Annotated[tuple[Egress, ...], Field(max_length=16)]

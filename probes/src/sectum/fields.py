"""Shared shapes of the scenario's fields: strict models, bounded names and closed templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
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

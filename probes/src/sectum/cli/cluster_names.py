"""A kind -> the names of its objects, for a shell that completes them."""

from __future__ import annotations

from collections.abc import Callable

import click

from sectum.cli.cluster import Kubectl, kubectl_of
from sectum.errors import SectumError


def names_of(plural: str, *, more: tuple[str, ...] = ()) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """A completion: the objects of the namespace that the command line names so far; none if there is no answer."""

    def complete(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
        try:
            names = _names(kubectl_of(ctx), plural)
        except SectumError:
            return []
        return [name for name in [*more, *names] if name.startswith(begun)]

    return complete


def _names(kubectl: Kubectl, plural: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in kubectl.get(plural).get("items", []))

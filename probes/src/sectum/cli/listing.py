"""`sectum surfaces`, `attacks`, `schema`, `version`, `completion`: what Sectum knows, without a scenario."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.metadata import version as version_of
from typing import Any

import click
import yaml
from click.shell_completion import get_completion_class
from rich.console import Console

from sectum import catalog
from sectum.cli import show
from sectum.cli.loading import OUTPUT
from sectum.cli.settings import Settings, Subcommand
from sectum.errors import UsageError
from sectum.ports import Adapter, Attack
from sectum.scenario import Scenario, SurfaceKind


@click.command(cls=Subcommand)
@click.argument("name", required=False)
@OUTPUT
@click.pass_obj
def surfaces(settings: Settings, *, name: str | None, output: str) -> int:
    """List the adapters through which a surface can be reached, or explain one: its fields."""
    chosen = _chosen(catalog.adapters(), name, "adapter")
    document: dict[str, Any] = {
        "kinds": [str(kind) for kind in SurfaceKind],
        "adapters": [_adapter(each, fields=name is not None) for each in chosen],
    }
    show.emit(
        output,
        settings=settings,
        document=document if name is None else document["adapters"][0],
        names=[f"adapter/{each.name}" for each in chosen],
        draw=lambda console, wide: _draw_adapters(console, document, one=name is not None, wide=wide),
    )
    return 0


@click.command(cls=Subcommand)
@click.argument("name", required=False)
@OUTPUT
@click.pass_obj
def attacks(settings: Settings, *, name: str | None, output: str) -> int:
    """List the attack classes, or explain one: its impact, what confirms a leak, the verbs it needs."""
    chosen = sorted(_chosen(catalog.attacks(), name, "attack"), key=lambda each: each.number)
    document = [_attack(each) for each in chosen]
    show.emit(
        output,
        settings=settings,
        document={"attacks": document} if name is None else document[0],
        names=[f"attack/{each.name}" for each in chosen],
        draw=lambda console, wide: _draw_attacks(console, document, one=name is not None, wide=wide),
    )
    return 0


def _chosen(plugins: dict[str, Any], name: str | None, what: str) -> list[Any]:
    if name is None:
        return list(plugins.values())
    if name not in plugins:
        close = get_close_matches(name, plugins, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(plugins)}"
        raise UsageError(f"no {what} is named {name!r}; {hint}")
    return [plugins[name]]


def _adapter(adapter: Adapter, *, fields: bool) -> dict[str, Any]:
    schema = adapter.spec.model_json_schema(by_alias=True)
    told = {"name": adapter.name, "summary": adapter.summary}
    return {**told, "fields": list(_fields(schema, schema, ""))} if fields else told


def _fields(schema: dict[str, Any], node: dict[str, Any], path: str, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every field below a node of a JSON schema, parents first."""
    required = node.get("required", [])
    for name, value in node.get("properties", {}).items():
        inner = _resolved(schema, value)
        field = f"{path}.{name}" if path else name
        yield {
            "field": field + ("[]" if inner.get("type") == "array" else ""),
            "type": _type(inner),
            "required": name in required,
            "description": value.get("description") or inner.get("description", ""),
        }
        items = _resolved(schema, inner.get("items", {})) if isinstance(inner.get("items"), dict) else {}
        if depth < 3:
            yield from _fields(schema, inner, field, depth + 1)
            yield from _fields(schema, items, f"{field}[]", depth + 1)


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    options = [each for each in node.get("anyOf", []) if each.get("type") != "null"]
    node = options[0] if len(options) == 1 else node
    reference = node.get("$ref", "")
    found: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]] if reference else node
    return found


def _type(node: dict[str, Any]) -> str:
    if "enum" in node or "const" in node:
        return " | ".join(str(each) for each in node.get("enum", [node.get("const")]))
    return str(node.get("type", "any"))


def _attack(attack: Attack) -> dict[str, Any]:
    return {
        "name": attack.name,
        "number": attack.number,
        "summary": attack.summary,
        "confirms": attack.confirms,
        "impact": str(attack.impact),
        "needs": [sorted(map(str, need)) for need in attack.needs],
        "page": f"docs/attacks/{attack.name}.md",
    }


def _draw_adapters(console: Console, document: dict[str, Any], *, one: bool, wide: bool) -> None:
    adapters = document["adapters"]
    if not one:
        console.print(show.table(["adapter", "summary"], ([each["name"], each["summary"]] for each in adapters)))
        console.print()
        console.print(show.dim(f"Kinds of surface: {', '.join(document['kinds'])}"))
        console.print(show.dim("Fields of one: sectum surfaces NAME"))
        return
    console.print(show.plain(f"{adapters[0]['name']}: {adapters[0]['summary']}"))
    show.heading(console, f"Fields below spec.surfaces[].adapter.{adapters[0]['name']}")
    rows = ([e["field"], e["type"], "yes" if e["required"] else "", e["description"]] for e in adapters[0]["fields"])
    show.indented(console, show.table(["field", "type", "required", "meaning"], rows))


def _draw_attacks(console: Console, document: list[dict[str, Any]], *, one: bool, wide: bool) -> None:
    if not one:
        columns = ["#", "attack", "impact", "needs", "summary", *(["a leak is"] if wide else [])]
        lines = (
            [e["number"], e["name"], e["impact"], _needs(e), e["summary"], *([e["confirms"]] if wide else [])]
            for e in document
        )
        console.print(show.table(columns, lines, right=["#"]))
        return
    attack = document[0]
    console.print(show.plain(f"{attack['name']} (attack {attack['number']})"))
    console.print()
    told = [["what is done", attack["summary"]], ["a leak is", attack["confirms"]], ["impact", attack["impact"]]]
    rows = [*told, ["needs", f"write, and {_needs(attack)}"], ["page", attack["page"]]]
    grid = show.table(["", ""], rows)
    grid.show_header = False
    show.indented(console, grid)


def _needs(attack: dict[str, Any]) -> str:
    return " or ".join("+".join(need) for need in attack["needs"])


@click.command(cls=Subcommand)
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="json", show_default=True)
def schema(*, output: str) -> int:
    """Print the JSON schema of an IsolationScenario, for editors."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema(by_alias=True)}
    click.echo(json.dumps(document, indent=2) if output == "json" else yaml.safe_dump(document, sort_keys=False))
    return 0


@click.command(cls=Subcommand)
@OUTPUT
@click.pass_obj
def version(settings: Settings, *, output: str) -> int:
    """Print the versions of Sectum and of what it runs on."""
    document = {
        "cli": version_of("sectum"),
        "operator": None,
        "chart": None,
        "commit": None,
        "python": platform.python_version(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
    show.emit(
        output,
        settings=settings,
        document=document,
        names=[f"sectum/{document['cli']}"],
        draw=lambda console, _wide: console.print(
            show.plain(f"sectum {document['cli']} (Python {document['python']})")
        ),
    )
    return 0


@click.command(cls=Subcommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> int:
    """Print the completion script of a shell: source <(sectum completion bash)."""
    kind = get_completion_class(shell)
    root = ctx.find_root()
    if kind is None:
        raise UsageError(f"no completion for {shell}")
    click.echo(kind(root.command, {}, "sectum", "_SECTUM_COMPLETE").source())
    return 0

"""The CRDs in `crds/` are those of the models, and say something of everything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from sectum_operator.crd import NotStructural, structural
from sectum_operator.definitions import KINDS, definition, files, main

ROOT = Path(__file__).parents[2]
SCHEMAS = {kind.kind: definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema but the object's metadata, which is Kubernetes' own."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        if (path, name) != ("", "metadata"):
            yield from nodes(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}.{key}")


def unbounded(schema: dict[str, Any]) -> list[str]:
    """Strings, lists and maps that may grow without measure; types of the object itself are the server's."""
    needed = {
        "string": ("maxLength", "enum", "format"),
        "array": ("maxItems",),
        "object": ("maxProperties", "properties"),
    }
    return [
        path
        for path, node in nodes(schema)
        if path not in (".apiVersion", ".kind") and not set(needed.get(node.get("type", ""), node)) & node.keys()
    ]


def undescribed(schema: dict[str, Any]) -> list[str]:
    """Fields of which `kubectl explain` would say nothing."""
    below = (".items", ".additionalProperties")
    return [
        path for path, node in nodes(schema) if not path.endswith(below) and not node.get("description", "").strip()
    ]


def test_the_committed_files_are_those_that_the_models_make() -> None:
    committed = {path.name: path.read_text() for path in (ROOT / "crds").iterdir()}
    assert committed == files(), "run `make crds` and commit what changed"


def test_writing_is_repeatable_and_removes_what_is_of_no_model_any_more(tmp_path: Path) -> None:
    (tmp_path / "sectum.ai_gone.yaml").write_text("")
    (tmp_path / "other.yaml").write_text("")
    main(tmp_path)
    main(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {**files(), "other.yaml": ""}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_field_is_described(kind: str) -> None:
    assert undescribed(SCHEMAS[kind]) == []


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_list_map_and_string_has_a_bound(kind: str) -> None:
    assert unbounded(SCHEMAS[kind]) == []


def test_a_field_without_bound_or_description_is_found() -> None:
    class Loose(BaseModel):
        name: str
        tags: list[int]
        labels: dict[str, int]

    schema = structural(Loose, {})
    assert unbounded(schema) == [".name", ".tags", ".labels"]
    assert undescribed(schema) == ["", ".name", ".tags", ".labels"]


class Recursive(BaseModel):
    inner: "Recursive | None" = None


class Mixed(BaseModel):
    either: list[int] | str


class Pair(BaseModel):
    pair: tuple[int, str]


@pytest.mark.parametrize("model", [Recursive, Mixed, Pair])
def test_what_no_structural_schema_can_say_is_an_error(model: type[BaseModel]) -> None:
    with pytest.raises(NotStructural):
        structural(model, {})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_listing_begins_with_the_verdict_and_ends_with_the_age(kind: Any) -> None:
    document = yaml.safe_load(files()[f"sectum.ai_{kind.plural}.yaml"])
    columns = document["spec"]["versions"][0]["additionalPrinterColumns"]
    assert (columns[0]["name"], columns[-1]["name"]) == ("Verdict", "Age")
    assert document["spec"]["names"]["categories"] == ["sectum"]


def test_null_stays_a_value_only_where_it_means_something_else_than_leaving_out() -> None:
    class Model(BaseModel):
        absent: int | None = None
        off: int | None = 3

    properties = structural(Model, {})["properties"]
    assert properties == {"absent": {"type": "integer"}, "off": {"type": "integer", "nullable": True, "default": 3}}

"""Plug-ins are found on disk; a file that is none is named."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sectum import catalog
from sectum.catalog import BadPlugin, found
from sectum.ports import Attack

GOOD = (Path(catalog.__file__).parent / "attacks" / "entity_bleed.py").read_text()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "plugs"
    for name in [name for name in sys.modules if name.split(".")[0] == "plugs"]:
        del sys.modules[name]


def plugs() -> ModuleType:
    return importlib.import_module("plugs")


def test_what_ships_is_found_and_sorted_by_name() -> None:
    assert list(catalog.attacks()) == sorted(catalog.attacks())
    assert {"boundary-fetch", "entity-bleed", "semantic-cache"} <= set(catalog.attacks())
    assert {"http", "pgvector"} <= set(catalog.adapters())
    assert list(catalog.key_backends()) == ["awsKms", "unsafeLocalKey"]
    assert list(catalog.signer_backends()) == ["ecKey"]
    assert list(catalog.store_backends()) == ["s3"]


def test_every_file_of_a_folder_is_one_plug_in(package: Path) -> None:
    (package / "one.py").write_text(GOOD)
    (package / "two.py").write_text(GOOD.replace('name="entity-bleed"', 'name="a-second"'))
    assert list(found(plugs(), "ATTACK", Attack)) == ["a-second", "entity-bleed"]


BAD = {
    "a syntax error": "def (",
    "an error when imported": "raise RuntimeError('x')",
    "a missing module": "import nowhere_to_be_found",
    "no plug-in": "x = 1",
    "something else of that name": "ATTACK = 'entity-bleed'",
    "a name that is taken": GOOD,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_file_that_is_no_plug_in_is_named(package: Path, text: str) -> None:
    (package / "one.py").write_text(GOOD)
    (package / "two.py").write_text(text)
    with pytest.raises(BadPlugin, match=r"plugs\.two"):
        found(plugs(), "ATTACK", Attack)

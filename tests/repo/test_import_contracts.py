"""Each import contract is seen failing once, on a copy of the package with one forbidden import added."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "probes" / "src" / "sectum", ROOT / "operator" / "src" / "sectum_operator")

CLIENTS = ("anyio", "httpx2", "jwt", "mcp", "mcp_types")
"""What the MCP adapter's clients are made of."""

# contract, the module that gets an import, what it imports
FORBIDDEN = [
    ("flow", "codec", "sectum.plan"),
    ("flow", "attacks.boundary_fetch", "sectum.surfaces"),
    ("flow", "attacks.boundary_fetch", "sectum.manifest"),
    ("flow", "web.client", "sectum.surfaces"),
    ("flow", "web.tokens", "sectum.rpc"),
    ("flow", "rpc.client", "sectum.surfaces"),
    ("flow", "verdict", "sectum.pipeline"),
    ("attacks-pure", "attacks.entity_bleed", "time"),
    *(("attacks-pure", "attacks.entity_bleed", client) for client in CLIENTS),
    ("attacks-reach-nothing", "ports", "httpx"),
    *(("attacks-reach-nothing", "ports", client) for client in CLIENTS),
    ("attacks-independent", "attacks.entity_bleed", "sectum.attacks.boundary_fetch"),
    ("surfaces-independent", "surfaces.one_more", "sectum.surfaces.another"),
    ("keys-independent", "keys.one_more", "sectum.keys.another"),
    ("signers-independent", "signers.one_more", "sectum.signers.another"),
    ("stores-independent", "stores.one_more", "sectum.stores.another"),
    ("reports-independent", "reports.one_more", "sectum.reports.another"),
    ("no-operator", "plan", "kopf"),
    ("no-operator", "scenario", "sectum_operator"),
    ("operator-flow", "resources", "sectum_operator.rules"),
    ("operator-flow", "crd", "sectum_operator.resources"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The contracts and the packages as they are, on their own."""
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for package in PACKAGES:
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint_imports(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`lint-imports` over the copy: the folder first on PYTHONPATH hides the installed packages."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_contract_is_kept_by_the_packages_as_they_are(copy: Path) -> None:
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "module", "imported"), FORBIDDEN)
def test_one_forbidden_import_breaks_its_contract(copy: Path, contract: str, module: str, imported: str) -> None:
    package = "sectum_operator" if contract.startswith("operator") else "sectum"
    target = copy / package / f"{module.replace('.', '/')}.py"
    for needed in (target, target.with_name("another.py"), copy / "sectum" / "pipeline.py"):
        if not needed.exists():
            needed.write_text('"""A module."""\n')
    # Inside a function: an import that is hidden from the top of the file counts as well.
    target.write_text(f"{target.read_text()}\n\ndef late():\n    import {imported}\n")
    result = lint_imports(copy, "--contract", contract)
    assert result.returncode != 0
    assert f"{package}.{module} -> {imported} (" in result.stdout, result.stdout + result.stderr


def test_no_contract_is_without_a_case_here() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    prefix = "importlinter:contract:"
    contracts = {name.removeprefix(prefix) for name in config.sections() if name.startswith(prefix)}
    assert contracts == {contract for contract, _, _ in FORBIDDEN}

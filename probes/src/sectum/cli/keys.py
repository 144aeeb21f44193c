"""`sectum keygen`: the scenario's missing local keys -> files that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sectum.cli import show
from sectum.cli.loading import FILE, OUTPUT, SECRETS, load
from sectum.cli.settings import Settings, Subcommand
from sectum.errors import UsageError
from sectum.fields import SecretRef
from sectum.keys.unsafe_local import UnsafeLocalKeySpec
from sectum.scenario import Scenario
from sectum.signers.ec_key import EcKeySpec

_KEY_BYTES = 32


@click.command(cls=Subcommand)
@FILE
@SECRETS
@OUTPUT
@click.pass_obj
def keygen(settings: Settings, *, file: str, secrets: Path | None, output: str) -> int:
    """Make the scenario's missing local keys; never overwrites one, never prints one."""
    loaded = load(file, settings)
    folder = secrets or loaded.folder / "secrets"
    made = list(_keys(loaded.scenario, folder))
    rows = [[each["key"], each["state"], each["file"]] for each in made]
    show.emit(
        output,
        settings=settings,
        document={"keys": made},
        names=[each["file"] for each in made],
        draw=lambda console, _wide: console.print(show.table(["key", "", "file"], rows)),
    )
    return 0


def _keys(scenario: Scenario, folder: Path) -> Iterator[dict[str, Any]]:
    key, signer = scenario.spec.manifest.spec, scenario.spec.evidence.spec
    if isinstance(key, UnsafeLocalKeySpec):
        yield _ensured("manifest key", _file(folder, key.secret_ref), lambda: os.urandom(_KEY_BYTES))
    if isinstance(signer, EcKeySpec):
        private = _file(folder, signer.secret_ref)
        yield _ensured("signer", private, _private_key)
        public = private.with_name(f"{private.name}.pub")
        yield _ensured("signer's public key", public, lambda: _public_key(private), mode=0o644)


def _file(folder: Path, reference: SecretRef) -> Path:
    return folder / reference.name / reference.key


def _ensured(what: str, path: Path, make: Callable[[], bytes], *, mode: int = 0o600) -> dict[str, Any]:
    """The file is there when this returns; made without a moment in which others could read it."""
    if path.exists():
        return {"key": what, "state": "kept", "file": str(path)}
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(make())
    return {"key": what, "state": "made", "file": str(path)}


def _private_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_key(private: Path) -> bytes:
    try:
        key = load_pem_private_key(private.read_bytes(), None)
    except (ValueError, TypeError):
        raise UsageError(f"{private} is not an unencrypted private key in PEM; remove it to have one made") from None
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

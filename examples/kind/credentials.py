"""A folder -> the demo's Secrets, drawn once and kept there; users' tokens are issued anew each time."""

from __future__ import annotations

import base64
import json
import secrets
import string
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from assistant.auth import issue_token
from assistant.config import Account, Settings, load_settings

HERE = Path(__file__).resolve().parent
BUILDS = ("leaky", "hardened")
BUCKETS = ("root", "evidence", "records")
SURFACES = ("api", "tools", "cache", "memory")
RUNS, SERVERS = "sectum-runs", "sectum-servers"
SIGNER = "sectum-signer-demo"

Secret = dict[str, bytes]


class Kept:
    """Random values by name, in files that their owner alone can read; those of an earlier start stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def value(self, name: str, draw: Callable[[], bytes]) -> bytes:
        path = self.folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(draw())
        return path.read_bytes()

    def access_key(self, name: str) -> Secret:
        """A pair as AWS gives them out: 20 upper-case characters, and 40 of any case."""
        return {
            "accessKeyId": self.value(f"{name}.accessKeyId", _access_key_id),
            "secretAccessKey": self.value(f"{name}.secretAccessKey", lambda: secrets.token_urlsafe(30).encode()),
        }


def _access_key_id() -> bytes:
    return ("AKIA" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))).encode()


def taken_back(folder: Path, there: Mapping[str, Mapping[str, Secret]]) -> None:
    """What a cluster holds already counts: its servers know it, from another folder perhaps, or one that is gone."""
    Kept(folder)

    def keep(name: str, value: bytes) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_bytes(value)

    servers = there.get(SERVERS, {})
    for bucket in BUCKETS:
        for key, value in servers.get(f"s3-{bucket}", {}).items():
            keep(f"s3-{bucket}.{key}", value)
    for key, value in servers.get("kms", {}).items():
        keep(f"kms-{key}", value)
    for build in BUILDS:
        for key, value in there.get(f"demo-{build}", {}).get("assistant", {}).items():
            keep(f"{build}-{key}", value)
    for key, value in there.get(RUNS, {}).get(SIGNER, {}).items():
        keep(f"{SIGNER}/{key}", value)
        (folder / SIGNER / f"{key}.pub").unlink(missing_ok=True)  # keygen makes it again of the private half


def made(folder: Path) -> dict[str, dict[str, Secret]]:
    """Every Secret of the demo: namespace -> name -> key -> value."""
    kept = Kept(folder)
    s3 = {bucket: kept.access_key(f"s3-{bucket}") for bucket in BUCKETS}
    kms = {user: kept.access_key(f"kms-{user}") for user in ("prepare", "probe", "sign")}
    server = {"key.id": kept.value("kms-key.id", lambda: str(uuid.uuid4()).encode())}
    server["key.material"] = kept.value("kms-key.material", lambda: secrets.token_hex(32).encode())
    server |= {f"{user}.{key}": value for user, pair in kms.items() for key, value in pair.items()}
    runs = {
        "sectum-kms-encrypt-demo": kms["prepare"],
        "sectum-kms-decrypt-demo": kms["probe"],
        "sectum-store-evidence-demo": s3["evidence"],
        "sectum-store-records-demo": s3["records"],
        SIGNER: {"private.pem": signing_key(folder)},
    }
    issuers = {build: kept.value(f"{build}-token.key", lambda: secrets.token_bytes(32)) for build in BUILDS}
    for build in BUILDS:
        runs |= of_surfaces(build, issuer=issuers[build])
    return {
        RUNS: runs,
        SERVERS: {"kms": server} | {f"s3-{bucket}": pair for bucket, pair in s3.items()},
        **{f"demo-{build}": {"assistant": {"token.key": issuer}} for build, issuer in issuers.items()},
    }


def of_surfaces(build: str, *, issuer: bytes) -> dict[str, Secret]:
    """The users' tokens for each surface, and what the issuer of the tools' tokens signs with."""
    settings = load_settings(HERE.parent / "quickstart" / "stack" / f"{build}.toml")
    api, tools = (tokens(settings, issuer=issuer, audience=a) for a in (settings.tokens.audience, "assistant-tools"))
    by_surface = {f"sectum-surface-{surface}-{build}": tools if surface == "tools" else api for surface in SURFACES}
    return {**by_surface, f"sectum-surface-tools-issuer-{build}": {"signing.key": issuer}}


def tokens(settings: Settings, *, issuer: bytes, audience: str) -> Secret:
    """A token for each user, under the key that the scenario's template makes of his name."""

    def token(account: Account) -> bytes:
        return issue_token(account, key=issuer, tokens=settings.tokens, audience=audience).encode()

    return {f"{account.tenant}.{account.user}": token(account) for account in settings.accounts}


def signing_key(folder: Path) -> bytes:
    """The scenarios' signer, by `sectum keygen`; its public half stays beside it, for the verifier."""
    command = [sys.executable, "-m", "sectum", "keygen", "-f", str(HERE / "30-scenario-leaky.yaml")]
    subprocess.run([*command, "--secrets", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return (folder / SIGNER / "private.pem").read_bytes()


def manifest(found: Mapping[str, Mapping[str, Secret]]) -> str:
    """What `kubectl apply` takes."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": {key: base64.b64encode(value).decode() for key, value in secret.items()},
        }
        for namespace, named in found.items()
        for name, secret in named.items()
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

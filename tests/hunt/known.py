"""A cluster with runs -> every text of theirs that must be nowhere, and the stores to look into."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import obstore
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from obstore.exceptions import BaseError
from obstore.store import ObjectStore
from sectum.errors import SecretMissing, SectumError
from sectum.manifest import Manifest, Sealer, header, unseal
from sectum.ports import KeySpec, StoreSpec
from sectum.scenario import Scenario, parse

from tests.hunt.kube import Kube, Refused, reachable
from tests.hunt.texts import Text

PREFIXES = ("sectum-surface-", "sectum-kms-", "sectum-store-", "sectum-signer-", "sectum-key-")
"""Names of Secrets that hold credentials or keys."""
MANIFEST_TYPE = "sectum.ai/manifest"
_PUBLIC = (".pub", "region", "endpoint", "ca.crt")
ReadSecret = Callable[[str, str], bytes]


@dataclass
class Known:
    """What the hunt found out before it looks."""

    texts: list[Text] = field(default_factory=list)
    manifests: dict[str, bytes] = field(default_factory=dict)
    """By run: its sealed manifest."""
    stores: dict[str, ObjectStore] = field(default_factory=dict)
    """By bucket, whole buckets."""
    without: list[str] = field(default_factory=list)
    """Runs of which no manifest is left: they were never prepared, or it is deleted and was never archived."""
    faults: list[str] = field(default_factory=list)
    """What could not be found out; a hunt with any shows less than it should."""

    @contextlib.contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Go on without it, and say so. What servers say on it may hold a credential."""
        try:
            yield
        except (Refused, SectumError) as fault:
            self.faults.append(f"{what}: {fault}"[:300])
        except (BaseError, OSError) as fault:
            self.faults.append(f"{what}: {type(fault).__name__}")


@contextlib.contextmanager
def known(kube: Kube, namespaces: Iterable[str]) -> Iterator[Known]:
    """All that is known of the runs in these namespaces; stores and KMS are forwarded as long as the block takes."""
    with contextlib.ExitStack() as stack:
        found = Known()
        for namespace in namespaces:
            _of_namespace(kube, namespace, found, stack)
        yield found


def _of_namespace(kube: Kube, namespace: str, found: Known, stack: contextlib.ExitStack) -> None:
    secrets = {each["metadata"]["name"]: each.get("type", "") for each in kube.items("secrets", namespace)}
    for name in secrets:
        if name.startswith(PREFIXES):
            found.texts += credentials(namespace, name, kube.secret(namespace, name))

    def secret(name: str, key: str) -> bytes:
        try:
            return kube.secret(namespace, name)[key]
        except (KeyError, Refused):
            raise SecretMissing(f"secret {namespace}/{name}/{key}", "is not there") from None

    mine = {header(sealed)["run"]: sealed for sealed in _mounted(kube, namespace, secrets)}
    scenarios = [_scenario(each) for each in kube.items("isolationscenarios.sectum.ai", namespace)]
    scenarios += [parse(header(sealed)["scenario"]) for sealed in mine.values()]
    records = {}
    for evidence in (about.spec.evidence for about in scenarios):
        if evidence.store_spec is not None:
            with found.noted("the store of packs"):
                _, store = _opened(kube, evidence.store_spec, secret, stack=stack, known=found)
                mine |= {header(sealed)["run"]: sealed for sealed in _archived(store, namespace)}
        if evidence.records_spec is not None:
            with found.noted("the store of records"):
                bucket, store = _opened(kube, evidence.records_spec, secret, stack=stack, known=found)
                records[bucket] = store
    runs = [each["metadata"]["uid"] for each in kube.items("verificationruns.sectum.ai", namespace)]
    found.without += [uid for uid in runs if uid not in mine]
    found.manifests |= mine
    for run, sealed in mine.items():
        with found.noted(f"run {run}"):
            spec = _key(kube, parse(header(sealed)["scenario"]).spec.manifest.spec, stack)
            manifest, data_key = unseal(sealed, spec.wrapper(secret))
            found.texts += of_manifest(manifest, data_key)
            for store in records.values():
                found.texts += of_receipts(run, data_key, sealed_records(store, run))


def _mounted(kube: Kube, namespace: str, secrets: Mapping[str, str]) -> Iterator[bytes]:
    """The sealed manifests that Secrets hold."""
    for name, kind in secrets.items():
        if kind == MANIFEST_TYPE:
            yield kube.secret(namespace, name)["sealed.json"]


def _scenario(item: Mapping[str, Any]) -> Scenario:
    about = {name: item["metadata"][name] for name in ("name", "namespace")}
    return parse({**{name: item[name] for name in ("apiVersion", "kind", "spec")}, "metadata": about})


def _opened(
    kube: Kube, spec: StoreSpec, secret: ReadSecret, *, stack: contextlib.ExitStack, known: Known
) -> tuple[str, ObjectStore]:
    """A whole bucket, whatever folder of it the scenario names; opened once."""
    name = str(getattr(spec, "bucket", None) or spec.uri(""))
    if name not in known.stores:
        if (endpoint := getattr(spec, "endpoint", None)) is not None:
            spec = spec.model_copy(update={"endpoint": stack.enter_context(reachable(kube, endpoint))})
        if getattr(spec, "prefix", ""):
            spec = spec.model_copy(update={"prefix": ""})
        known.stores[name] = spec.open(secret)._objects  # type: ignore[attr-defined]
    return name, known.stores[name]


def _key(kube: Kube, spec: KeySpec, stack: contextlib.ExitStack) -> KeySpec:
    endpoint = getattr(spec, "endpoint", None)
    return spec.model_copy(update={"endpoint": stack.enter_context(reachable(kube, endpoint))}) if endpoint else spec


def _names(store: ObjectStore) -> list[str]:
    return [each["path"] for batch in obstore.list(store) for each in batch]


def _archived(store: ObjectStore, namespace: str) -> Iterator[bytes]:
    """Sealed manifests of runs of this namespace, wherever in the bucket they lie."""
    for name in _names(store):
        if name.endswith(".sealed.json"):
            sealed = bytes(obstore.get(store, name).bytes())
            if header(sealed)["scenario"]["metadata"].get("namespace") == namespace:
                yield sealed


def sealed_records(store: ObjectStore, run: str) -> Iterator[tuple[str, bytes]]:
    """The sealed intents and receipts of a run, by what of their names follows `sealed/`."""
    for name in _names(store):
        _, sign, rest = name.partition(f"work/{run}/sealed/")
        if sign:
            yield rest, bytes(obstore.get(store, name).bytes())


# --- what of it must be nowhere ---------------------------------------------------------------------------------------


def credentials(namespace: str, name: str, data: Mapping[str, bytes]) -> Iterator[Text]:
    """What a Secret holds, at home in itself; of a private key its number and its DER, too."""
    homes = frozenset({f"secrets/{namespace}/{name}"})
    for key, value in data.items():
        if key.endswith(_PUBLIC):
            continue
        about = f"{namespace}/{name}/{key}"
        if b"PRIVATE KEY" in value:
            yield from (Text("private key", f"{about} ({form})", each, homes) for form, each in _key_forms(value))
        else:
            yield Text("credential", about, value.strip() or value, homes)


def _key_forms(pem: bytes) -> Iterator[tuple[str, bytes]]:
    """Its PEM is the base64 of its DER, which holds the number that is the key."""
    key = load_pem_private_key(pem, None)
    yield "DER", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        yield "number", key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        yield "number", key.private_bytes_raw()
    lines = [line.strip() for line in pem.splitlines() if b"-----" not in line]
    yield "PEM", b"\n".join(lines)


def of_manifest(manifest: Manifest, data_key: bytes) -> Iterator[Text]:
    """Markers, decoys, where they are to be planted, salts and keys; at home nowhere."""
    run = manifest.run
    for kind, drawn in (("marker", manifest.markers), ("decoy", manifest.decoys)):
        for each in drawn:
            name = f"{run} {each.id} ({kind})"
            yield Text(kind, name, each.plaintext.encode(), marker=each.spec.kind)
            yield Text("location", f"{name}, asked for", each.wanted.encode())
            yield Text("salt", name, each.salt)
    yield Text("salt", f"{run} manifest", manifest.salt)
    yield Text("run key", run, manifest.run_key.private_bytes_raw())
    yield Text("data key", run, data_key)


def of_receipts(run: str, data_key: bytes, sealed: Iterable[tuple[str, bytes]]) -> Iterator[Text]:
    """Where markers were planted, and were about to be."""
    for name, data in sealed:
        surface, attempt, leaf = name.split("/", 2)
        value = Sealer(data_key, run=run, surface=surface, attempt=int(attempt)).unseal(data)
        for marker, location in [value] if leaf.startswith("receipt") else value:
            yield Text("location", f"{run} {marker}", str(location).encode())

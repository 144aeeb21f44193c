"""`python -m tests.hunt`: does anything of the runs on a kind cluster stand where it must not? See docs/hunt.md."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence

import obstore
from sectum.errors import SectumError

from tests.hunt import planting as plants
from tests.hunt.etcd import Etcd
from tests.hunt.hunting import PLACES, hunt, of_cluster, sown, unseen
from tests.hunt.known import Known, known
from tests.hunt.kube import Kube, Refused
from tests.hunt.report import Row, findings, looked_for, say, table
from tests.hunt.search import Search
from tests.hunt.sown import SOWN
from tests.hunt.texts import gather

FOUND, BLIND = 1, 2
CONTROLS = ("etcd", "objects")
"""Places in which every credential must be seen in its own Secret, or that nothing was seen there means nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: nothing; 1: something was found, or a planted text was not; 2: something could not be searched."""
    options = _parser().parse_args(arguments)
    kube = Kube(options.context)
    node = options.node or kube.run("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}").decode()
    try:
        with known(kube, options.runs) as found:
            found.texts += sown(SOWN)
            return _self_test(kube, found, node, options) if options.self_test else _hunt(kube, found, node, options)
    except (Refused, SectumError) as error:
        say(f"hunt: {error}")
        return BLIND


def _hunt(kube: Kube, found: Known, node: str, options: argparse.Namespace) -> int:
    texts = gather(found.texts)
    search = Search(texts)
    rows = _searched(kube, search, found, node=node, options=options)
    for row in rows:
        if row.place in CONTROLS and row.pieces and (blindness := unseen(row, texts)):
            row.faults.append(blindness)
    say(looked_for(texts))
    say(f"runs: {len(found.manifests)} with a manifest, {len(found.without)} without")
    for fault in found.faults:
        say(f"NOT KNOWN {fault}")
    say(table(rows))
    say(findings(search, rows) or "nothing was found that does not belong where it is")
    if not texts.counts().get("marker") and not options.no_runs:
        say("hunt: no run's markers are known, so this shows nothing; --no-runs says that it is meant so")
        return BLIND
    blind = bool(found.faults) or any(row.faults for row in rows)
    return FOUND if any(row.hits for row in rows) else BLIND if blind else 0


def _self_test(kube: Kube, found: Known, node: str, options: argparse.Namespace) -> int:
    """Plant in every place, look for what was planted, and take it away again."""
    planting = plants.Planting()
    with _removed(kube, found) as stored:
        plants.plant(kube, planting, image=options.image)
        for name, store in found.stores.items():
            for path in plants.in_store(planting, name, store):
                stored.append((name, path))
        texts = gather([each.text for each in planting.planted])
        rows = _searched(kube, Search(texts), found, node=node, options=options)
    say(looked_for(texts))
    say(table(rows))
    missed = planting.missed(rows)
    blind = sorted(set(PLACES) - {place for each in planting.planted for place in each.places})
    wanted = sum(len(each.places) for each in planting.planted)
    say(f"self-test: {wanted - len(missed)} of {wanted} planted texts found, each in its place")
    for line in missed:
        say(f"MISSED {line}")
    for line in [f"NOT SEARCHED in {row.place}: {fault}" for row in rows for fault in row.faults]:
        say(line)
    if blind:
        say(f"NOT TRIED, since nothing could be planted there: {', '.join(blind)} (--image, or a run's scenario)")
    for fault in found.faults:
        say(f"NOT KNOWN {fault}")
    untried = blind or found.faults or any(row.faults for row in rows)
    return FOUND if missed else BLIND if untried else 0


@contextlib.contextmanager
def _removed(kube: Kube, found: Known) -> Iterator[list[tuple[str, str]]]:
    stored: list[tuple[str, str]] = []
    try:
        yield stored
    finally:
        for name, path in stored:
            obstore.delete(found.stores[name], path)
        plants.remove(kube)


def _searched(kube: Kube, search: Search, found: Known, *, node: str, options: argparse.Namespace) -> list[Row]:
    database = Etcd()
    logged = [*options.runs, *options.operator, *([plants.NAMESPACE] if options.self_test else [])]
    groups = of_cluster(kube, found, node=node, logged=logged, database=database)
    chosen = [(place, read) for place, read in groups.items() if not options.place or place in options.place]
    return hunt(search, chosen, systems=options.system, torn=database.torn)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.hunt", description=__doc__)
    add = parser.add_argument
    add("--context", help="kubectl's; its current one if left out")
    add("--node", help="the kind node that etcd runs on; the first if left out")
    add("--runs", action="append", default=[], metavar="NAMESPACE", help="where runs are; repeatable")
    add("--operator", action="append", default=[], metavar="NAMESPACE", help="where the operator is; repeatable")
    add("--system", action="append", default=[], metavar="NAMESPACE", help="of the systems under test; repeatable")
    add("--place", action="append", default=[], metavar="PLACE", help="search this only (etcd, objects, logs …)")
    add("--image", help="an image with Python, for the self-test's pods")
    add("--self-test", action="store_true", help=f"plant fake markers, in the namespace {plants.NAMESPACE}")
    add("--no-runs", action="store_true", help="it is no fault that no run's markers are known")
    return parser


if __name__ == "__main__":
    sys.exit(main())

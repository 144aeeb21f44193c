"""Places, texts and whose namespaces are whose -> rows of a report, with all that does not belong where it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from tests.hunt import etcd, places
from tests.hunt.belonging import belongs
from tests.hunt.known import Known
from tests.hunt.kube import Kube, Refused, node_files
from tests.hunt.report import Row
from tests.hunt.search import Piece, Search
from tests.hunt.texts import Text, Texts
from tests.hunt.unpack import NotSearched

PLACES = ("etcd", "objects", "events", "logs", "node logs", "metrics", "store", "packs")


def hunt(
    search: Search,
    groups: Iterable[tuple[str, Callable[[], Iterable[Piece]]]],
    *,
    systems: Collection[str],
    torn: Callable[..., bool] = lambda _hit: False,
) -> list[Row]:
    """Search every group of places; what one cannot be read says why and spares none of the others."""
    rows = {place: Row(place) for place in PLACES}
    for place, pieces in groups:
        began = time.monotonic()
        try:
            for piece in pieces():
                _one(search, piece, rows[piece.place], systems, torn)
        except Exception as error:  # noqa: BLE001  (a place that cannot be read must be seen, and fails the hunt)
            said = f": {error}" if isinstance(error, (Refused, NotSearched)) else ""
            rows[place].faults.append(f"{type(error).__name__}{said}"[:500])
        rows[place].seconds += time.monotonic() - began
    return list(rows.values())


def _one(search: Search, piece: Piece, row: Row, systems: Collection[str], torn: Callable[..., bool]) -> None:
    before = search.unpacked
    row.pieces += 1
    row.size += len(piece.data)
    try:
        hits = search.piece(piece)
    except NotSearched as fault:
        row.faults.append(str(fault))
        return
    row.unpacked += search.unpacked - before
    cut = {hit.text.value for hit in hits if torn(hit)}
    for hit in hits:
        if belongs(hit, systems=systems):
            row.at_home += 1
            row.seen.add(hit.text.value)
        # What has to be decoded has no place of its own, and is what stands there encoded.
        elif torn(hit) or (hit.decoded and hit.text.value in cut):
            row.torn += 1
        else:
            row.hits.append(hit)


def unseen(row: Row, texts: Texts) -> str | None:
    """What was not even seen where it belongs: then the search is blind, or Secrets changed while it looked."""
    missing = [text.name for text in texts.all if text.homes and text.value not in row.seen]
    return f"{len(missing)} of its own texts not seen in their Secrets, such as {missing[0]}" if missing else None


def of_cluster(
    kube: Kube, known: Known, *, node: str, logged: Collection[str], database: etcd.Etcd
) -> Mapping[str, Callable[[], Iterable[Piece]]]:
    """Every place of a cluster on kind, by the group that it is read in."""
    return {
        "etcd": lambda: database.pieces(node_files(node, "/var/lib/etcd")),
        "objects": lambda: places.objects(kube),
        "logs": lambda: places.logs(kube, logged),
        "node logs": lambda: places.node_logs(node, logged),
        "metrics": lambda: places.metrics(kube, logged),
        "store": lambda: (piece for name, store in known.stores.items() for piece in places.bucket(name, store)),
    }


def sown(names: Mapping[str, str]) -> list[Text]:
    """The texts of a made-up real tenant, by what each is called."""
    return [Text("sown", name, value.encode()) for name, value in names.items()]

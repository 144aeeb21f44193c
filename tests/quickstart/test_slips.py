"""What a system under test lets slip of a real tenant (ids, errors, redirects, tools) is in nothing a run writes."""

from pathlib import Path

import pytest

from tests.hunt.hunting import hunt, sown
from tests.hunt.search import Piece, Search
from tests.hunt.sown import CUSTOMER, SOWN
from tests.hunt.texts import gather
from tests.quickstart.quick import prepare
from tests.quickstart.test_nothing_leaves import Lab
from tests.stack.running import running_stack


@pytest.mark.parametrize(
    ("slips", "status"),
    [({"slips.customer": CUSTOMER}, 0), ({"slips.customer": CUSTOMER, "slips.redirect": True, "slips.item": True}, 11)],
    ids=["in what Sectum does not need", "where redirects and unknown documents end a trial"],
)
def test_what_slips_goes_no_further(slips: dict[str, object], status: int, tmp_path: Path) -> None:
    with running_stack(set=slips) as stack:
        lab = Lab(prepare(tmp_path, stack))
        done = lab.run()
        assert done.returncode == status, done.stderr
        lab.command("check", "-f", str(lab.quick.file), "--secrets", str(lab.quick.secrets))
    files = [path for path in lab.wrote.rglob("*") if path.is_file()]
    pieces = [Piece("store", str(path.relative_to(lab.wrote)), path.read_bytes()) for path in files]
    rows = hunt(Search(gather(sown(SOWN))), [("store", lambda: pieces)], systems=())
    assert any(piece.where.endswith(".zip") for piece in pieces)
    assert [(hit.where, hit.form) for row in rows for hit in row.hits] == []
    assert [fault for row in rows for fault in row.faults] == []

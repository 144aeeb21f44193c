"""The container, the members and the Statement: what is in a pack, byte for byte."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sectum import container, pack
from sectum.codec import canonical, sha256

from tests import runs

NAMES = st.from_regex(r"(records/)?[a-z0-9]{1,8}(\.json)?", fullmatch=True)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=6)


@given(MEMBERS)
def test_a_zip_gives_back_its_members_and_a_usual_reader_agrees(members: dict[str, bytes]) -> None:
    data = container.to_zip(members)
    assert container.from_zip(data) == members
    with zipfile.ZipFile(io.BytesIO(data)) as usual:
        assert usual.testzip() is None
        assert {each.filename: usual.read(each) for each in usual.infolist()} == members
        assert usual.namelist() == sorted(members)


def test_a_usual_writer_with_the_same_metadata_makes_the_same_bytes() -> None:
    assert _usual(("a", b"one"), ("records/b.json", b"two")) == GOOD  # so each hostile zip below is so for one reason


def test_a_zip_does_not_hang_on_the_order_of_its_members() -> None:
    assert container.to_zip({"a": b"1", "b": b"2"}) == container.to_zip({"b": b"2", "a": b"1"})


def _usual(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED, mode: int = 0o100644) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as usual:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, compression
            usual.writestr(info, data)
    return out.getvalue()


GOOD = container.to_zip({"a": b"one", "records/b.json": b"two"})
HOSTILE = {
    "nothing": b"",
    "no zip": b"hello",
    "no members": _usual(),
    "bytes after": GOOD + b"\x00",
    "bytes before": b"\x00" + GOOD,
    "cut off": GOOD[:-1],
    "cut off in a header": GOOD[:20],
    "a gap": GOOD.replace(b"PK\x01\x02", b"\x00PK\x01\x02", 1),
    "a comment": GOOD[:-2] + b"\x01\x00!",
    "another order": _usual(("b", b"2"), ("a", b"1")),
    "compressed": _usual(("a", b"1" * 99), compression=zipfile.ZIP_DEFLATED),
    "a link": _usual(("a", b"/etc/passwd"), mode=0o120777),
    "upwards": _usual(("../a", b"1")),
    "upwards within": _usual(("records/../a", b"1")),
    "absolute": _usual(("/a", b"1")),
    "another folder": _usual(("more/a", b"1")),
    "a drive": _usual(("c:a", b"1")),
    "backslash": _usual(("records\\a", b"1")),
    "hidden": _usual((".a", b"1")),
    "a folder": _usual(("records/", b"")),
    "a long name": _usual(("a" * 201, b"1")),
    "not ASCII": _usual(("ä", b"1")),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", [*HOSTILE, "a name twice"])
def test_what_is_not_exactly_a_packs_zip_is_refused(case: str) -> None:
    data = HOSTILE[case] if case in HOSTILE else _usual(("a", b"1"), ("a", b"2"))
    with pytest.raises(container.BadContainer, match="." if case in HOSTILE else "a is there twice"):
        container.from_zip(data)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_BYTES", 5)
    with pytest.raises(container.BadContainer):
        container.from_zip(GOOD)
    monkeypatch.undo()
    monkeypatch.setattr(container, "MAX_MEMBERS", 1)
    with pytest.raises(container.BadContainer):
        container.from_zip(GOOD)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    (folder / "records").mkdir(parents=True)
    (folder / "a").write_bytes(b"one")
    (folder / "records" / "b.json").write_bytes(b"two")
    return folder


def test_a_folder_is_read_as_its_zip_is(tmp_path: Path) -> None:
    assert container.read(_folder(tmp_path)) == container.from_zip(GOOD)


@pytest.mark.parametrize("place", ["link", "records/link", "sub/deep", "records/sub/deep", ".hidden", "a b"])
def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path, place: str) -> None:
    folder = _folder(tmp_path)
    target = folder / place
    target.parent.mkdir(exist_ok=True)
    if place.endswith("link"):
        target.symlink_to(folder / "a")
    else:
        target.write_bytes(b"x")
    with pytest.raises(container.BadContainer):
        container.read(folder)


def test_records_may_not_be_a_link_to_a_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "records").rename(tmp_path / "elsewhere")
    (folder / "records").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(container.BadContainer):
        container.read(folder)


def test_the_same_run_makes_the_same_members() -> None:
    sample = runs.sample()
    assert pack.build(sample.run, sample.records) == pack.build(runs.copied(sample.run), sample.records)


def test_members_are_run_report_readme_and_the_records_as_they_were_signed() -> None:
    sample = runs.sample()
    members = pack.build(sample.run, sample.records)
    assert set(members) == {"run.json", "report.pdf", "README.txt", *("records/" + name for name in sample.records)}
    assert members["run.json"] == canonical(sample.run)
    assert {name: members["records/" + name] for name in sample.records} == sample.records
    assert members["report.pdf"].startswith(b"%PDF-")


def test_no_pdf_where_the_scenario_wants_none() -> None:
    evidence = {**runs.document()["spec"]["evidence"], "formats": []}
    sample = runs.sample(runs.scenario(evidence=evidence))
    assert "report.pdf" not in pack.build(sample.run, sample.records)


def test_the_statement_is_over_every_file_but_the_bundle() -> None:
    sample = runs.sample()
    members = sample.members()
    stated = json.loads(pack.statement(sample.run, members))
    expected = {name: sha256(data) for name, data in members.items() if name != pack.BUNDLE}
    assert {each["name"]: each["digest"]["sha256"] for each in stated["subject"]} == expected
    assert stated["_type"] == "https://in-toto.io/Statement/v1"
    assert stated["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"


def _mixed(number: int, trial: object) -> runs.Row:
    assert isinstance(trial, runs.Trial)
    if trial.surface == "api":
        return runs.leak_row(trial) if number == 0 else runs.clean_row(trial)
    return runs.fault_row(trial, "Budget") if trial.asker.tenant == "globex" else runs.clean_row(trial)


def test_passed_failed_and_warned_tests_are_the_cells() -> None:
    mixed = pack.predicate(runs.sample(play=_mixed).run)
    assert mixed["result"] == "FAILED"
    assert mixed["failedTests"] == ["api/boundary-fetch/same-tenant"]
    assert mixed["passedTests"] == ["api/boundary-fetch/other-tenant", "semantic-cache/semantic-cache/same-tenant"]
    assert mixed["warnedTests"] == ["semantic-cache/semantic-cache/other-tenant"]


@pytest.mark.parametrize(
    ("play", "result"),
    [
        (runs.every(), "PASSED"),
        (runs.every(leak=lambda number, _trial: number == 0), "FAILED"),
        (lambda _number, trial: runs.fault_row(trial, "Budget"), "FAILED"),
    ],
)
def test_only_a_pass_is_called_passed(play: runs.Play, result: str) -> None:
    assert pack.predicate(runs.sample(play=play).run)["result"] == result


def test_what_was_asked_for_and_not_covered_is_warned_of() -> None:
    surfaces = runs.document()["spec"]["surfaces"]
    surfaces[0]["attacks"] = ["boundary-fetch", "semantic-cache"]
    about = runs.scenario(surfaces=surfaces)
    predicate = pack.predicate(runs.sample(about).run)
    assert predicate["warnedTests"] == ["api/semantic-cache/any"]
    assert predicate["result"] == "FAILED"

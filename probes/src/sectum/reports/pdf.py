"""run.json -> a PDF of two or three A4 pages for people, byte for byte the same for the same run.json.

Only enumerations, names and declared residue out of the scenario, counts, times and digests get in. The file is not
compressed, so that whoever looks through a pack for what must not be there sees the report's text too.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from functools import partial
from html import escape
from typing import Any

from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    KeepTogether,
    ListFlowable,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from sectum import notes
from sectum import wording as words
from sectum.finding import Outcome
from sectum.plan import SkipReason
from sectum.scenario import SurfaceKind

Run = Mapping[str, Any]

MAX_FINDINGS = 12
MAX_CELLS = 30
_MARGIN = 16 * mm
_PADDING = 6
_WIDTH = A4[0] - 2 * (_MARGIN + _PADDING)

_INK, _SOFT, _LINE, _PALE = HexColor("#1b2430"), HexColor("#5c6773"), HexColor("#cfd6dd"), HexColor("#f3f5f7")
_FILL = {
    Outcome.LEAK: HexColor("#b3261e"),
    Outcome.INCONCLUSIVE: HexColor("#b26a00"),
    Outcome.PASS: HexColor("#1b7a43"),
    Outcome.NOT_COVERED: HexColor("#6b5b95"),
}
_TINT = {
    Outcome.LEAK: HexColor("#f9dedc"),
    Outcome.INCONCLUSIVE: HexColor("#fdecd0"),
    Outcome.PASS: HexColor("#dcf1e3"),
    Outcome.NOT_COVERED: HexColor("#e6e1f0"),
}


def _style(size: float, *, color: Color = _INK, bold: bool = False, after: float = 0, center: bool = False) -> Any:
    return ParagraphStyle(
        "s",
        fontName="Helvetica-Bold" if bold else "Helvetica",
        fontSize=size,
        leading=size * 1.3,
        textColor=color,
        spaceAfter=after,
        alignment=TA_CENTER if center else 0,
        splitLongWords=1,
    )


_BODY, _SMALL, _SMALL_BOLD = _style(9, after=3), _style(7.5), _style(7.5, bold=True)
_HEAD, _NOTE = _style(12, bold=True, after=4), _style(7.5, color=_SOFT, after=3)
_TINY, _TINY_BOLD = _style(5.6, center=True), _style(5.6, bold=True, center=True)
_COLUMN, _NONE = _style(5.3, bold=True, center=True), _style(7, color=_LINE, center=True)


def render(run: Run) -> bytes:
    """The report's bytes."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=15 * mm,
        bottomMargin=18 * mm,
        title=f"Tenant isolation: {run['scenario']['name']}",
        author="Sectum",
        subject=f"Run {run['run']}",
        invariant=1,
        pageCompression=0,
    )
    story = [*_summary(run), *_coverage(run), *_findings(run), *_results(run)]
    story.append(KeepTogether([*_method(run), *_verifying(run)]))
    document.build(story, canvasmaker=partial(_Numbered, footer=f"run {run['run']}"))
    return out.getvalue()


class _Numbered(Canvas):  # type: ignore[misc]
    """Writes `page n of m` once m is known."""

    def __init__(self, *args: Any, footer: str, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._footer = footer
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, 1):
            self.__dict__.update(page)
            self.setFont("Helvetica", 7)
            self.setFillColor(_SOFT)
            self.drawString(
                _MARGIN + _PADDING, 10 * mm, f"Sectum evidence report · {self._footer} · run.json in this pack decides"
            )
            self.drawRightString(A4[0] - _MARGIN - _PADDING, 10 * mm, f"page {number} of {len(self._pages)}")
            super().showPage()
        super().save()


def _text(value: Any, style: Any = _SMALL) -> Paragraph:
    """A value as text: never as markup, nothing that the built-in fonts cannot draw, broken where it is too long."""
    plain = str(value).encode("cp1252", errors="replace").decode("cp1252")
    return Paragraph(escape(plain), style)


def _summary(run: Run) -> Iterable[Flowable]:
    """Verdict and what was tested."""
    outcome = Outcome(run["verdict"])
    yield _text("Tenant isolation: evidence report", _style(17, bold=True, after=2))
    yield _text(f"Scenario {run['scenario']['name']}", _style(10.5, color=_SOFT, after=7))
    verdict = _text(words.VERDICT[outcome], _style(25, bold=True, color=white))
    meaning = _text(words.meaning(run), _style(9.5, color=white))
    box = Table([[verdict, meaning]], colWidths=[_WIDTH * 0.36, _WIDTH * 0.64])
    box.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), _FILL[outcome]),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("TOPPADDING", (0, 0), (-1, -1), 11),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 13),
                ("LEFTPADDING", (0, 0), (-1, -1), 12),
            ]
        )
    )
    yield box
    yield Spacer(1, 8)
    facts = Table(
        [[_text(k, _SMALL_BOLD), _text(v)] for k, v in words.facts(run)], colWidths=[_WIDTH * 0.18, _WIDTH * 0.82]
    )
    facts.setStyle(_ruled(header=False))
    yield facts


def _ruled(*, header: bool = True) -> TableStyle:
    return TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 2.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ("LEFTPADDING", (0, 0), (-1, -1), 4),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            *([("BACKGROUND", (0, 0), (-1, 0), _PALE)] if header else []),
        ]
    )


def _coverage(run: Run) -> Iterable[Flowable]:
    """Thirteen surfaces × eleven attack classes."""
    table: list[list[Any]] = [
        [
            "",
            *(
                [_text(n, _TINY), *(_text(part, _COLUMN) for part in _broken(name))]
                for n, name in words.ATTACKS.items()
            ),
        ]
    ]
    styles: list[tuple[Any, ...]] = []
    kinds = {each["name"]: each["kind"] for each in run["scenario"]["snapshot"]["spec"]["surfaces"]}
    for down, kind in enumerate(SurfaceKind, 1):
        mine = {name for name, each in kinds.items() if each == kind}
        label = _style(7, bold=bool(mine), color=_INK if mine else _SOFT)
        row: list[Any] = [_text(kind, label)]
        for across, attack in enumerate(words.ATTACKS.values(), 1):
            outcome, lines = words.coverage(run, mine, attack)
            if outcome is None:
                row.append(_text(lines[0], _TINY if mine else _NONE))
                continue
            row.append([_text(lines[0], _TINY_BOLD), *(_text(line, _TINY) for line in lines[1:])])
            styles.append(("BACKGROUND", (across, down), (across, down), _TINT[outcome]))
        table.append(row)
    first = 25 * mm
    rest = (_WIDTH - first) / len(words.ATTACKS)
    matrix = Table(table, colWidths=[first, *[rest] * len(words.ATTACKS)], repeatRows=1)
    matrix.setStyle(_ruled())
    grid = [("INNERGRID", (0, 0), (-1, -1), 0.4, _LINE), ("VALIGN", (0, 0), (-1, -1), "MIDDLE")]
    narrow = [("LEFTPADDING", (1, 0), (-1, -1), 1), ("RIGHTPADDING", (1, 0), (-1, -1), 1)]
    matrix.setStyle(TableStyle([*grid, *narrow, *styles]))
    yield KeepTogether(
        [Spacer(1, 10), _text("What was tried", _HEAD), matrix, Spacer(1, 3), _text(words.LEGEND, _NOTE)]
    )


def _broken(name: str) -> list[str]:
    """A hyphenated name on two lines."""
    head, hyphen, tail = name.rpartition("-")
    return [part for part in (head + hyphen, tail) if part]


def _findings(run: Run) -> Iterable[Flowable]:
    """Who saw what of whom, and how to repeat it."""
    found = run["findings"]
    yield CondPageBreak(60 * mm)
    yield Spacer(1, 6)
    yield _text(f"Findings: {len(found)}", _HEAD)
    if not found:
        yield _text(words.NO_FINDINGS[Outcome(run["verdict"])], _BODY)
        return
    heads = ["Surface, attack", "Who saw whose", "What came back", "How to repeat"]
    shown = notes.examples(found, most=max(MAX_FINDINGS, min(MAX_CELLS, len(set(map(notes.group_of, found))))))
    table = [
        [_text(head, _SMALL_BOLD) for head in heads],
        *([*map(_text, words.finding(each))] for each in shown),
    ]
    listed = Table(table, colWidths=[_WIDTH * part for part in (0.2, 0.26, 0.2, 0.34)], repeatRows=1)
    listed.setStyle(_ruled())
    yield listed
    if more := notes.left_out(found, shown):
        yield _text(more, _NOTE)
    yield Spacer(1, 3)
    yield from _accepted(run)
    yield _text(words.REPEATING, _NOTE)


def _accepted(run: Run) -> Iterable[Flowable]:
    """Who answers for what, and what nobody does any more; the verdict is the same."""
    told = words.accepted(run)
    if told:
        yield _text("Accepted risks", _SMALL_BOLD)
        yield from (_text(text, _NOTE) for _, text in told[:MAX_FINDINGS])
    if len(told) > MAX_FINDINGS:
        yield _text(f"… and {len(told) - MAX_FINDINGS} more, see run.json", _NOTE)


def _results(run: Run) -> Iterable[Flowable]:
    """Every cell with its counts."""
    yield CondPageBreak(50 * mm)
    yield Spacer(1, 6)
    yield _text("Results by surface, attack and kind of asker", _HEAD)
    heads = [
        "Surface",
        "Attack",
        "Asker",
        "Outcome",
        "Trials",
        "Leak",
        "Pass",
        "Incon- clusive",
        "95 % bound",
        "Reasons",
    ]
    shown = sorted(run["cells"], key=lambda cell: words.ORDER.index(cell["outcome"]))[:MAX_CELLS]
    said = {notes.group_of(cell): texts for cell, texts in notes.of_cells(run)}
    table = [[_text(head, _SMALL_BOLD) for head in heads]]
    styles: list[tuple[Any, ...]] = []
    for each in shown:
        styles.append(("BACKGROUND", (3, len(table)), (3, len(table)), _TINT[Outcome(each["outcome"])]))
        table.append([*map(_text, words.cell(each))])
        if texts := said.get(notes.group_of(each)):
            here = len(table)
            table.append([_text(f"{'; '.join(texts)}.", _NOTE), *[""] * (len(heads) - 1)])
            # No line between a cell's numbers and what is said of them, and no page break.
            styles += [("SPAN", (0, here), (-1, here)), ("LINEBELOW", (0, here - 1), (-1, here - 1), 0.4, white)]
            styles += [("NOSPLIT", (0, here - 1), (-1, here))]
    widths = (0.12, 0.17, 0.105, 0.115, 0.06, 0.055, 0.055, 0.075, 0.075, 0.17)
    listed = Table(table, colWidths=[_WIDTH * part for part in widths], repeatRows=1)
    listed.setStyle(_ruled())
    listed.setStyle(TableStyle(styles))
    yield listed
    if len(run["cells"]) > MAX_CELLS:
        yield _text(f"… and {len(run['cells']) - MAX_CELLS} more, see run.json", _NOTE)
    yield Spacer(1, 3)
    yield _text(words.BOUND, _NOTE)
    excluded = [each for each in run["skips"] if each["reason"] == SkipReason.EXCLUDED]
    if excluded:
        names = ", ".join(f"{each['surface']} × {each['attack']}" for each in excluded[:MAX_FINDINGS])
        yield _text(f"Excluded by the scenario, by name: {names}.", _NOTE)


def _method(run: Run) -> Iterable[Flowable]:
    for head, points in (("How it was tested", words.METHOD), ("What this does not show", words.limits(run))):
        items = [_text(point, _BODY) for point in points]
        yield Spacer(1, 6)
        yield _text(head, _HEAD)
        yield ListFlowable(items, bulletType="bullet", bulletFontSize=6, bulletOffsetY=-1.5, leftIndent=10)


def _verifying(run: Run) -> Iterable[Flowable]:
    rows = [[_text(name, _SMALL_BOLD), _text(value)] for name, value in words.digests(run)]
    table = Table(rows, colWidths=[_WIDTH * 0.22, _WIDTH * 0.78])
    table.setStyle(_ruled(header=False))
    yield Spacer(1, 6)
    yield _text("How to verify this pack", _HEAD)
    yield from (_text(line, _BODY) for line in words.VERIFYING)
    yield Spacer(1, 3)
    yield table

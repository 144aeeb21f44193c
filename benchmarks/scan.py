"""Measures how fast answers are scanned for 10,000 markers, against `marker in text` for each: MB/s of one core.

uv run --no-sync python benchmarks/scan.py [--markers N] [--write]
"""

import argparse
import base64
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sectum.markers import WORDS, Kind, draw
from sectum.scan import Index

SIZE = 2_000_000
RESULT = Path(__file__).with_suffix(".md")
DOCUMENTS = ("ARCHITECTURE.md", "LICENSE", "README.md", "CONTRIBUTING.md")


def answers(rng: random.Random, size: int) -> str:
    """JSON as a retrieval endpoint gives it: English text of this repository with ids, scores and metadata."""
    root = RESULT.parent.parent
    english = " ".join(path.read_text() for name in DOCUMENTS if (path := root / name).exists()).split()
    rows: list[str] = []
    while sum(map(len, rows[-1:])) * len(rows) < size:
        start = rng.randrange(len(english) - 100)
        row = {
            "id": f"{rng.getrandbits(128):032x}",
            "score": rng.random(),
            "created_at": f"2026-01-{rng.randint(1, 28):02d}T12:00:00Z",
            "text": " ".join(english[start : start + 60]) + "\n" + " ".join(english[start + 60 : start + 100]),
            "metadata": {"source": f"doc-{rng.randrange(9999)}", "owner": " ".join(rng.choices(WORDS, k=2))},
        }
        rows.append(json.dumps(row))
    return "\n".join(rows)[:size]


def texts() -> dict[str, str]:
    """Make what is scanned, by name."""
    rng = random.Random(1)
    typical = answers(rng, SIZE)
    return {
        "JSON answers": typical,
        "JSON of embeddings": json.dumps([rng.gauss(0, 0.1) for _ in range(SIZE // 22)]),
        "random base64": base64.b64encode(rng.randbytes(SIZE * 3 // 4)).decode(),
        "base64 of JSON answers": base64.b64encode(typical[: SIZE * 3 // 4].encode()).decode(),
        "'%25' repeated": "%25" * (SIZE // 3),
    }


def speed(act: Callable[[], object], size: int, *, rounds: int) -> float:
    """Return the MB/s of CPU time of the best round."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        act()
        best = min(best, time.process_time() - begin)
    return size / best / 1e6


def scan(index: Index, text: str) -> None:
    """Read one answer in chunks of 16 KiB, which must show nothing."""
    reader = index.reader()
    for start in range(0, len(text), 16384):
        reader.feed(text[start : start + 16384])
    if reader.end_answer():
        raise SystemExit("a marker was seen where there is none")


def measure(count: int) -> str:
    """Return the table of figures, as Markdown."""
    rng = random.Random(2)
    kinds = list(Kind)
    markers = {str(n): (kinds[n % 3], draw(kinds[n % 3], below=rng.randrange)) for n in range(count)}
    begin = time.process_time()
    index = Index(markers)
    built = time.process_time() - begin
    lines = [
        f"{count:,} markers; the index took {built:.2f} s to build.",
        "",
        "| text | every form, MB/s | `marker in text`, MB/s | ratio |",
        "|---|---|---|---|",
    ]
    for name, text in texts().items():
        ours = speed(lambda text=text: scan(index, text), len(text), rounds=5)  # type: ignore[misc]
        piece = text[: len(text) // 10]
        plain = speed(lambda text=piece: [m in text for _, m in markers.values()], len(piece), rounds=2)  # type: ignore[misc]
        lines.append(f"| {name} | {ours:.1f} | {plain:.2f} | {ours / plain:.1f} |")
    return "\n".join(lines)


def machine() -> str:
    """Tell where and of what this was measured."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ?")
    return (
        f"Commit {commit.stdout.strip()}; Python {platform.python_version()}; {platform.machine()}, "
        f"{os.cpu_count()} cores ({model.partition(': ')[2]}), one used, load "
        f"{os.getloadavg()[0]:.1f}; best of 5 rounds, CPU time."
    )


def main() -> None:
    """Measure, print and, when asked to, write down."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--markers", type=int, default=10_000)
    options.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    given = options.parse_args()
    command = f"uv run --no-sync python benchmarks/scan.py{''.join(' ' + a for a in sys.argv[1:])}"
    tables = "\n\n".join(measure(count) for count in sorted({given.markers, min(given.markers, 1000)}, reverse=True))
    report = f"# Scanning an answer for markers\n\n`{command}`\n\n{machine()}\n\n{tables}\n"
    print(report)
    if given.write:
        RESULT.write_text(report)


if __name__ == "__main__":
    main()

"""docs/series.md names every line of a series' checklist, in order, and shows what a year really looks like."""

import asyncio
import json
import re
from pathlib import Path

from sectum import archive
from sectum.chronicle import Chronicle, chronicle

from tests import chronicles

PAGE = (Path(__file__).parents[2] / "docs" / "series.md").read_text()


def told() -> Chronicle:
    store = chronicles.store_of(*chronicles.YEAR)
    return chronicle(asyncio.run(archive.gather(store, chronicles.FOLDER, key=chronicles.KEY)))


def test_the_page_has_every_line_and_shows_them_as_they_are() -> None:
    year = told()
    assert re.findall(r"^\| (\d+) \| `([a-z]+)` \|", PAGE, re.MULTILINE) == [
        (str(each.number), each.id) for each in year.lines
    ]
    [shown] = re.findall(r"```\n( 1\. records:.*?)\n\n(.*?)\n```", PAGE, re.DOTALL)
    real = [line for each in year.lines for line in (str(each), *(f"      {note}" for note in each.notes))]
    assert shown[0].splitlines() == [real[0].replace(real[0][-64:], "5e46dab4…"), *real[1:]]
    assert shown[1].startswith(f"{year.summary}; {len(chronicles.YEAR)} runs: ")


def test_the_page_shows_what_machines_get() -> None:
    [block] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    page, real = json.loads(block), told().as_json()
    assert set(page) == {*real, "store"}
    for part in ("steps", "runs"):
        assert set(page[part][0]) == set(real[part][0])
    assert set(page["runs"][0]["alpha"]) == set(real["runs"][0]["alpha"])
    step = next(each for each in real["steps"] if each["id"] == page["steps"][0]["id"])
    assert page["steps"][0] == step

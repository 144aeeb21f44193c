"""The page on custom resources lists the columns and selectors that the definitions have, and a run that fits them."""

import re
from pathlib import Path

import yaml
from sectum_operator.definitions import KINDS
from sectum_operator.resources import RunSpec

PAGE = (Path(__file__).parents[2] / "docs" / "resources.md").read_text()


def test_the_listings_are_those_of_the_definitions() -> None:
    for kind in KINDS:
        narrow = [title for title, _ in kind.columns if not title.startswith("-")]
        wide = [title[1:] for title, _ in kind.columns if title.startswith("-")]
        selectors = ", ".join(f"`{path.lstrip('.')}`" for path in kind.selectable)
        assert f"| `{kind.short}` | {', '.join([*narrow, 'Age'])} | {', '.join(wide)} | {selectors} |" in PAGE


def test_the_run_on_the_page_has_only_fields_that_there_are() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    run = yaml.safe_load(block)
    read = RunSpec.model_validate(run["spec"])
    assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == run["spec"]

"""What a page offers to copy."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, *languages: str) -> list[str]:
    """The page's fenced blocks in these languages ("" for none), those in lists too, without their indentation."""
    text = (DOCS / f"{page}.md").read_text()
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"(?m)^{indent}", "", block) for indent, language, block in found if language in languages]

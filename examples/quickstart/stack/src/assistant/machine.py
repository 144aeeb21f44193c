"""Tell whether this machine can run the assistant, before anything heavy is imported."""

import importlib.util

SUPPORTED = ((3, 11), (3, 12))


def unsupported(platform: str, version: tuple[int, ...]) -> str | None:
    """Return one line that says what to do, or None where everything is in place."""
    running = f"{version[0]}.{version[1]}"
    if not platform.startswith("linux"):
        return f"the bundled PostgreSQL runs on Linux only, not on {platform}; start the assistant in a Linux machine"
    if tuple(version[:2]) not in SUPPORTED:
        return f"the bundled PostgreSQL needs Python 3.11 or 3.12, not {running}; use `uv python install 3.12`"
    if importlib.util.find_spec("pgserver") is None:
        return "the package pgserver is not installed; run `uv sync` with Python 3.11 or 3.12"
    return None

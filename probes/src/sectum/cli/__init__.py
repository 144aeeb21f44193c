"""Arguments -> an exit status: the command line `sectum`, which needs the extra `cli`; `kubectl sectum` is the same."""

from __future__ import annotations

import sys
from importlib.util import find_spec

EXTRA = ("click", "rich")


def main() -> None:
    """Entry point of `sectum` and `kubectl-sectum`."""
    if not all(find_spec(name) for name in EXTRA):
        sys.stderr.write("error: the command line needs click and rich\nnext: pip install 'sectum[cli]'\n")
        sys.exit(1)
    from sectum.cli.app import app

    app()


def complete() -> None:
    """Entry point of `kubectl_complete-sectum`, which kubectl's shell completion calls."""
    if all(find_spec(name) for name in EXTRA):
        from sectum.cli.cluster_complete import answer

        sys.stdout.write("".join(f"{line}\n" for line in answer(sys.argv[1:])))

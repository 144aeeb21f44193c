"""The command line: `python -m assistant serve --config FILE --data DIR`."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from assistant.config import ConfigError, load_settings
from assistant.machine import unsupported

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, check the machine, serve; exit with 2 where something is to be put right first."""
    options = _parser().parse_args(arguments)
    reason = unsupported(sys.platform, tuple(sys.version_info[:3]))
    if reason is not None:
        _refuse(reason)
    try:
        settings = load_settings(options.config, options.set)
    except ConfigError as error:
        _refuse(str(error))
    directory = options.data.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ready.json").unlink(missing_ok=True)
    logging.basicConfig(level=logging.WARNING)
    # A search in Faiss takes microseconds; sharing it out among threads takes milliseconds. Read when Faiss is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # GPTCache reads a pickle from the current directory when it is imported: let that be ours.
    os.chdir(directory)
    from assistant.chroma import ChromaError
    from assistant.postgres import PostgresError
    from assistant.serve import serve

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        serve(
            settings,
            directory=directory,
            host=options.host,
            port=options.port,
            postgres_port=options.postgres_port,
        )
    except (PostgresError, ChromaError, OSError) as error:
        print(f"assistant: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assistant", description="A small multi-tenant assistant.")
    commands = parser.add_subparsers(required=True)
    serving = commands.add_parser("serve", help="start the database and the HTTP service in the foreground")
    serving.add_argument("--config", type=Path, required=True, help="TOML file with the settings")
    serving.add_argument("--data", type=Path, required=True, help="directory for everything that is written")
    serving.add_argument(
        "--host", default="127.0.0.1", help="IPv4 address for HTTP; 0.0.0.0 in a container, whose network is its own"
    )
    serving.add_argument("--port", type=int, default=0, help="HTTP port on that address; 0 takes a free one")
    serving.add_argument("--postgres-port", type=int, default=0, help="database port on 127.0.0.1; 0 takes a free one")
    serving.add_argument(
        "--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="override one setting; repeatable"
    )
    return parser


def _stop(_number: int, _frame: object) -> NoReturn:
    # Once is enough; what follows is the shutdown, and it is not to be interrupted.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def _refuse(reason: str) -> NoReturn:
    print(f"assistant: {reason}", file=sys.stderr)
    sys.exit(USAGE)


if __name__ == "__main__":
    main()

"""The operator as a process of its own, which can be killed at any call and started again.

    with Interception(plane) as line, OperatorProcess(line, folder) as operator:
        operator.kill()         # SIGKILL, as a lost node does
        operator.start()

It talks to the API server through the line only.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from tests.operator.installation import ENTRY, IMAGES, NAMESPACE
from tests.operator.interception import Interception

COMMAND = [*ENTRY[IMAGES.operator], "operate"]


class OperatorProcess:
    """Runs for as long as the block, but for kills."""

    def __init__(self, line: Interception, folder: Path) -> None:
        self._line, self._folder = line, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        """How often it was started."""

    @property
    def log(self) -> str:
        """All that it said, over all starts."""
        return (self._folder / "operator.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, where it is not running."""
        if self._process and self._process.poll() is None:
            return
        kubeconfig = self._line.plane.kubeconfig(self._folder / "operator.kubeconfig", url=self._line.url)
        own = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_") or name == "PATH"}
        env = {
            **own,
            "KUBECONFIG": str(kubeconfig),
            "SECTUM_NAMESPACES": NAMESPACE,
            "SECTUM_OPERATOR_IMAGE": IMAGES.operator,
            "SECTUM_PROBES_IMAGE": IMAGES.probes,
            "SECTUM_HEALTH": f"http://127.0.0.1:{_free_port()}/healthz",
        }
        with (self._folder / "operator.log").open("ab") as log:
            self._process = subprocess.Popen(
                COMMAND, env=env, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.starts += 1

    def kill(self) -> None:
        """End it with no chance to do anything more."""
        self._end(signal.SIGKILL)

    def running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    def _end(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> OperatorProcess:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end(signal.SIGTERM)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])

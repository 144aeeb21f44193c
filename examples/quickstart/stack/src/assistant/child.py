"""What servers that run as our child processes have in common: a free port, and an end no later than ours."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

HOST = "127.0.0.1"
STOP_SECONDS = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def stop_with(parent: int, number: signal.Signals) -> Callable[[], None]:
    """Have the kernel send a child this signal when we die, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG)."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    set_parent_death_signal = 1

    def arrange() -> None:
        prctl(set_parent_death_signal, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def stop(process: "subprocess.Popen[bytes]", number: signal.Signals, *, name: str) -> None:
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"{name} does not stop; killing it", file=sys.stderr)
        process.kill()
        process.wait()

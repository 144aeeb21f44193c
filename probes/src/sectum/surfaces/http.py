"""The scenario's requests and JSONPaths -> a client that asks an HTTP API as one principal and trusts no answer."""

from __future__ import annotations

from sectum.ports import Adapter
from sectum.web.api import WebApi
from sectum.web.calls import AskCachedCall, AskCall, BatchCall, HistoryCall, RecallCall, SearchCall


class HttpSpec(WebApi):
    """An HTTP API with JSON answers; a verb that is left out is not tried."""

    batch: BatchCall | None = None
    """Read several documents."""
    search: SearchCall | None = None
    """Find documents."""
    ask: AskCall | None = None
    """Ask the application past its answer cache."""
    ask_cached: AskCachedCall | None = None
    """Ask the application as its users do."""
    recall: RecallCall | None = None
    """Ask a memory for what it holds on a cue."""
    history: HistoryCall | None = None
    """Read a conversation by its id."""


ADAPTER = Adapter(name="http", summary="An HTTP API with JSON answers: requests and JSONPaths are data.", spec=HttpSpec)

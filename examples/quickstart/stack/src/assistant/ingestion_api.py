"""Turn HTTP requests into uploads for the ingestion queue."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from assistant import inputs

if TYPE_CHECKING:
    from assistant.app import Call


def routes(endpoint: Callable[["Callable[[Call], Response]"], Any]) -> list[Route]:
    return [Route("/v1/ingest", endpoint(ingest), methods=["POST"])]


def ingest(call: "Call") -> Response:
    title, text = inputs.new_document(call.body, call.services.settings.limits)
    accepted = call.services.ingestion.submit(call.identity, title=title, text=text)
    return JSONResponse({"id": str(accepted)}, status_code=202)

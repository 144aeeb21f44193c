"""Turn the bearer of a request to the tools into the identity that they act for."""

from collections.abc import Mapping

import jwt

from assistant.access import Identity
from assistant.auth import Authenticator, Unauthenticated, bearer
from assistant.config import Security


class ToolsAuthenticator:
    """Asks the check for the tools' own audience, or whoever is to be trusted in its stead."""

    def __init__(self, *, own: Authenticator, documents_api: Authenticator, security: Security) -> None:
        self._own = own
        self._documents_api = documents_api
        self._security = security

    def identify(self, headers: Mapping[str, str]) -> Identity:
        if not self._security.tools_token_verified:
            # The gateway in front of us has checked the token.
            return self._own.known(_claims(bearer(headers)))
        if not self._security.tools_exchange_token:
            # The documents API checks the token that we pass on: for whom it was issued is its business.
            return self._documents_api.from_token(headers)
        return self._own.from_token(headers)


def _claims(token: str) -> Mapping[str, object]:
    try:
        claims: Mapping[str, object] = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Unauthenticated("the token is not valid") from error
    if not {"tenant", "sub"} <= claims.keys():
        raise Unauthenticated("the token is not valid")
    return claims

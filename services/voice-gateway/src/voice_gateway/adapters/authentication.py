"""Who may call: API keys or JSON Web Tokens, from the metadata of a call.

Strangers learn that they are not let in, and of their own token that it is too old; which keys there are, and how near
they came, they do not. Neither keys nor tokens are logged.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from servicekit.rpc_auth import Metadata
from voice_gateway.domain.errors import Unauthenticated

Cause: TypeAlias = Literal[
    "missing", "malformed", "unknown_key", "bad_signature", "expired", "not_yet_valid", "wrong_issuer", "wrong_audience"
]
"""Why somebody is not let in: the label of a metric."""

SENTENCES: dict[Cause, str] = {
    "missing": "This gateway takes calls with a key only, in the metadata x-api-key or as a bearer token in "
    "authorization.",
    "malformed": "The key or token of this call is not of the form that this gateway takes.",
    "unknown_key": "The key of this call is not accepted.",
    "bad_signature": "The token of this call is not accepted.",
    "expired": "The token of this call has expired.",
    "not_yet_valid": "The token of this call is not valid yet.",
    "wrong_issuer": "The token of this call is not accepted.",
    "wrong_audience": "The token of this call is not accepted.",
}

MAX_CREDENTIAL_CHARACTERS = 8_192
"""What gRPC takes of metadata."""

MAX_PRINCIPAL_CHARACTERS = 128


class NotLetIn(Exception):
    """A credential does not do."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause: Cause = cause


class Verifier(Protocol):
    """Knows one kind of credential."""

    takes_api_key: bool
    """Whether x-api-key is looked at beside authorization."""

    def principal(self, credential: str) -> str:
        """Who has this credential; never empty. Raises NotLetIn."""
        ...


class Authentication:
    """Names the caller of each call."""

    def __init__(self, verifier: Verifier, *, on_refused: Callable[[Cause], None] = lambda _cause: None) -> None:
        self._verifier = verifier
        self._on_refused = on_refused

    def principal(self, metadata: Metadata) -> str:
        """Who calls. Raises Unauthenticated."""
        try:
            return self._verifier.principal(_credential(metadata, api_key=self._verifier.takes_api_key))
        except NotLetIn as refusal:
            self._on_refused(refusal.cause)
            raise Unauthenticated(SENTENCES[refusal.cause], detail=refusal.cause) from None


def _credential(metadata: Metadata, *, api_key: bool) -> str:
    """The one credential of a call. Raises NotLetIn."""
    found: dict[str, str] = {}
    for name, value in metadata:
        if name in {"x-api-key", "authorization"}:
            if name in found or not isinstance(value, str) or len(value) > MAX_CREDENTIAL_CHARACTERS:
                raise NotLetIn("malformed")
            found[name] = value
    if api_key and "x-api-key" in found:
        return found["x-api-key"].strip()
    if "authorization" not in found:
        raise NotLetIn("missing")
    scheme, _, credential = found["authorization"].strip().partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise NotLetIn("malformed")
    return credential.strip()

"""JSON Web Tokens, signed by an issuer whose public keys are in a file.

A key fixes its algorithm (RFC 8725, 3.1): what a token's header says can neither switch the signature off nor have a
public key taken for a shared secret.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from voice_gateway.adapters.authentication import MAX_PRINCIPAL_CHARACTERS, Cause, NotLetIn
from voice_gateway.adapters.followed_files import FileUnusable, FollowedFiles

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MAX_KEYS = 16
"""A token without a key id is tried with each."""

MIN_RSA_BITS = 2_048
"""RFC 7518, 3.3."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)

_ALLOWED = "allowed are public keys of RSA, ECDSA over P-256, or Ed25519"

_CAUSES: tuple[tuple[type[jwt.InvalidTokenError], Cause], ...] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidIssuerError, "wrong_issuer"),
    (jwt.InvalidAudienceError, "wrong_audience"),
    (jwt.InvalidSignatureError, "bad_signature"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the only algorithm that it is used with."""

    public: PublicKey
    algorithm: str
    key_id: str = ""


class JwtTokens:
    """Follows the file of public keys. Raises FileUnusable when made of one that can't be used."""

    takes_api_key = False

    def __init__(
        self,
        file: Path,
        *,
        audience: str,
        issuer: str = "",
        leeway_s: float = 30.0,
        on_change: Callable[[str], None] = lambda _result: None,
    ) -> None:
        """An empty `issuer` is not checked. `leeway_s` is how much clocks may differ."""
        self._audience = audience
        self._issuer = issuer or None
        self._leeway_s = leeway_s
        self.files = FollowedFiles("jwt_keys", (file,), lambda contents: _keys(contents[0], file), on_change=on_change)

    def principal(self, credential: str) -> str:
        """Whose token it is: its subject. Raises NotLetIn."""
        try:
            header = jwt.get_unverified_header(credential)
        except jwt.InvalidTokenError:
            raise NotLetIn("malformed") from None
        subject = self._claims(credential, header).get("sub")
        if (
            not isinstance(subject, str)
            or not 0 < len(subject) <= MAX_PRINCIPAL_CHARACTERS
            or not subject.isprintable()
        ):
            raise NotLetIn("malformed")
        return subject

    def _claims(self, token: str, header: dict[str, Any]) -> dict[str, Any]:
        refusal = NotLetIn("bad_signature")
        for key in self._candidates(header):
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.public,
                    algorithms=[key.algorithm],
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway_s,
                    options={"require": ["exp", "sub"]},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidTokenError as error:
                raise NotLetIn(_cause(error)) from None
            else:
                return claims
        raise refusal

    def _candidates(self, header: dict[str, Any]) -> Iterator[Key]:
        """Keys that the token may be signed with."""
        key_id = header.get("kid")
        for key in self.files.value:
            if key.algorithm == header.get("alg") and (not key.key_id or key_id is None or key.key_id == key_id):
                yield key


def _cause(error: jwt.InvalidTokenError) -> Cause:
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "malformed")


def _keys(content: bytes, file: Path) -> tuple[Key, ...]:
    keys = tuple(_of_jwks(content, file) if content.lstrip().startswith(b"{") else _of_pem(content, file))
    if not keys:
        raise FileUnusable(f"{file} holds no key that can be used; {_ALLOWED}, as PEM or JWKS.")
    if len(keys) > MAX_KEYS:
        raise FileUnusable(f"{file} holds {len(keys)} keys; allowed are {MAX_KEYS}.")
    return keys


def _of_pem(content: bytes, file: Path) -> Iterator[Key]:
    for block in _BLOCK.finditer(content):
        if b"PRIVATE" in block[1]:
            raise FileUnusable(f"{file} holds a private key; {_ALLOWED}.")
        try:
            key = serialization.load_pem_public_key(block[0])
        except ValueError as error:
            raise FileUnusable(f"{file} holds a PEM block that is no public key; {_ALLOWED}.") from error
        algorithm = _algorithm(key)
        if not algorithm:
            raise FileUnusable(f"{file} holds a key of another kind; {_ALLOWED}.")
        yield Key(key, algorithm)  # type: ignore[arg-type] # what has an algorithm is one of the three


def _of_jwks(content: bytes, file: Path) -> Iterator[Key]:
    """Keys of a JSON Web Key Set. What is of no use here is left out, as RFC 7517, 5, has it; secrets are refused."""
    try:
        entries = json.loads(content)["keys"]
        if not all(isinstance(entry, dict) for entry in entries):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise FileUnusable(f"{file} is no JSON Web Key Set.") from error
    for entry in entries:
        if "d" in entry or "k" in entry or entry.get("kty") == "oct":
            raise FileUnusable(f"{file} holds a private or shared key; {_ALLOWED}.")
        if entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry).key
        except (jwt.PyJWTError, ValueError):
            continue
        algorithm = _algorithm(key)
        if algorithm and entry.get("alg", algorithm) == algorithm:
            yield Key(key, algorithm, str(entry.get("kid", "")))


def _algorithm(key: object) -> str:
    """Empty: it is not used here."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else ""

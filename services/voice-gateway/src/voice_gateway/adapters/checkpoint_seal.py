"""Tokens of checkpoints: JSON, compressed, and sealed with AES-256-GCM (NIST SP 800-38D).

    "VWC" | format 1 | length of the key's id | the key's id | salt, 16 bytes | nonce, 12 bytes | sealed text and tag

All before the nonce is in clear and sealed as associated data, with a purpose, so that a key that is used elsewhere as
well opens nothing there. Inside are the principal, the moment of sealing and that of expiry, and the checkpoint with
its call's id and its own version (domain/checkpoint.py).

Each process seals with a key of its own, made of the shared one and the salt by HMAC-SHA256: nonces are random, and
the 2**32 of them that are safe under one key (section 8.3) would be used up in days by a large installation.
"""

import base64
import binascii
import hmac
import json
import re
import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from voice_gateway.adapters.followed_files import FileUnusable, FollowedFiles
from voice_gateway.application.ports import UnsealedCheckpoint
from voice_gateway.domain.checkpoint import CallCheckpoint, checkpoint_in, document_of, trimmed
from voice_gateway.domain.codec import MalformedDataError
from voice_gateway.domain.errors import ResumeRefused

MAGIC = b"VWC\x01"
PURPOSE = b"voice-gateway call checkpoint"
SALT_BYTES = 16
NONCE_BYTES = 12
KEY_BYTES = 32

MAX_TOKEN_BYTES = 65_536
"""The contract's bound."""

MAX_PLAIN_BYTES = 1_000_000
"""Of a token's text once it is inflated: sealed by us, so this only bounds a mistake."""

COMPRESSION = 1
"""zlib's level: the quickest. Level 6 makes tokens a tenth smaller in twice the time."""

CLOCK_SKEW_S = 60.0
"""Clocks of two nodes may differ so much."""

KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")


@dataclass(frozen=True, slots=True)
class SealKeys:
    """Keys by their ids; the first one seals, all open."""

    sealing_id: str
    keys: dict[str, bytes]


class ProcessKeys:
    """A key that no other process has: calls can be resumed only where they were."""

    def __init__(self) -> None:
        name = f"process-{secrets.token_hex(4)}"
        self._keys = SealKeys(name, {name: secrets.token_bytes(KEY_BYTES)})

    def current(self) -> SealKeys:
        """Always the same."""
        return self._keys


class FileKeys:
    """Keys in a file, such as a mounted Secret. Raises FileUnusable when made of one that can't be used."""

    def __init__(self, path: Path, *, on_change: Callable[[str], None] = lambda _result: None) -> None:
        self.files = FollowedFiles("resume_keys", (path,), lambda contents: _keys(contents, path), on_change=on_change)

    def current(self) -> SealKeys:
        """The newest good ones."""
        return self.files.value


def _keys(contents: Sequence[bytes], path: Path) -> SealKeys:
    """Keys in lines `id:base64 of 32 bytes`; empty lines and those that begin with "#" are comments."""
    try:
        lines = contents[0].decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileUnusable(f"{path} is not UTF-8.") from error
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, encoded = line.strip().partition(":")
        key = _decoded(encoded.strip())
        if not KEY_ID.fullmatch(name) or len(key) != KEY_BYTES or name in keys:
            allowed = "ID:KEY, with an id of its own of at most 32 letters, digits or ._-, and base64 of 32 bytes"
            raise FileUnusable(f"Line {number} of {path} is no key; allowed is {allowed}.")
        keys[name] = key
    if not keys:
        raise FileUnusable(f"{path} holds no key; allowed are lines ID:KEY.")
    return SealKeys(next(iter(keys)), keys)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


class SealedTokens:
    """The CheckpointSeal port."""

    def __init__(
        self,
        keys: ProcessKeys | FileKeys,
        *,
        valid_s: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`now_s` is wall time: tokens are read by other processes."""
        self.valid_ms = valid_s * 1000
        self._keys = keys
        self._now_s = now_s
        self._salt = secrets.token_bytes(SALT_BYTES)
        self._sealing: tuple[bytes, AESGCM] | None = None

    def seal(self, checkpoint: CallCheckpoint, *, principal: str) -> bytes:
        """A token for `principal`; empty where it cannot be made small enough."""
        envelope = self.envelope(principal)
        smaller: CallCheckpoint | None = checkpoint
        while smaller is not None:
            text = json.dumps({**envelope, **document_of(smaller)}, separators=(",", ":"), ensure_ascii=False)
            plain = text.encode("utf-8", "surrogatepass")
            if len(plain) <= MAX_PLAIN_BYTES:
                token = self.encrypted(zlib.compress(plain, COMPRESSION))
                if len(token) <= MAX_TOKEN_BYTES:
                    return token
            smaller = trimmed(smaller)
        return b""

    def envelope(self, principal: str) -> dict[str, object]:
        """What stands beside a checkpoint: for whom it is, from when and until when, in ms of wall time."""
        now_ms = round(self._now_s() * 1000)
        return {"for": principal, "at": now_ms, "until": now_ms + self.valid_ms}

    def encrypted(self, packed: bytes) -> bytes:
        """A token with this in it."""
        keys = self._keys.current()
        header = _header(keys.sealing_id) + self._salt
        nonce = secrets.token_bytes(NONCE_BYTES)
        return header + nonce + self._own(keys).encrypt(nonce, packed, header + PURPOSE)

    def open(self, token: bytes, *, principal: str) -> UnsealedCheckpoint:
        """The checkpoint in a token. Raises ResumeRefused."""
        document = self._document(token)
        if not hmac.compare_digest(str(document.get("for", "")).encode(), principal.encode()):
            raise ResumeRefused("foreign")
        at_ms, until_ms = document.get("at"), document.get("until")
        if not isinstance(at_ms, int) or not isinstance(until_ms, int):
            raise ResumeRefused("unreadable", detail="it tells no times")
        now_ms = round(self._now_s() * 1000)
        if at_ms > now_ms + CLOCK_SKEW_S * 1000:
            raise ResumeRefused("expired", detail=f"sealed {(at_ms - now_ms) / 1000:.0f} s from now: clocks differ")
        if now_ms > until_ms:
            raise ResumeRefused("expired", detail=f"for {(now_ms - until_ms) / 1000:.0f} s")
        try:
            checkpoint = checkpoint_in(document)
        except MalformedDataError as error:
            raise ResumeRefused("unreadable", detail=str(error)) from error
        return UnsealedCheckpoint(checkpoint, max(0, now_ms - at_ms))

    def _document(self, token: bytes) -> dict[str, object]:
        name, header, rest = _parts(token)
        key = self._keys.current().keys.get(name)
        if key is None:
            raise ResumeRefused("unreadable", detail="its key is not known here")
        try:
            cipher = AESGCM(_derived(key, header[-SALT_BYTES:]))
            packed = cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + PURPOSE)
            text = zlib.decompressobj().decompress(packed, MAX_PLAIN_BYTES)
            document = json.loads(text)
        except InvalidTag as error:
            raise ResumeRefused("unreadable", detail="it was changed, or its key was") from error
        except (zlib.error, ValueError, RecursionError) as error:
            raise ResumeRefused("unreadable", detail=type(error).__name__) from error
        if not isinstance(document, dict):
            raise ResumeRefused("unreadable", detail="it holds no document")
        return document

    def _own(self, keys: SealKeys) -> AESGCM:
        key = keys.keys[keys.sealing_id]
        if self._sealing is None or self._sealing[0] != key:
            self._sealing = key, AESGCM(_derived(key, self._salt))
        return self._sealing[1]


def _header(name: str) -> bytes:
    encoded = name.encode()
    return MAGIC + bytes([len(encoded)]) + encoded


def _parts(token: bytes) -> tuple[str, bytes, bytes]:
    """The key's id, the header with its salt, and what follows. Raises ResumeRefused."""
    start = len(MAGIC) + 1
    if len(token) > MAX_TOKEN_BYTES or len(token) < start or not token.startswith(MAGIC):
        raise ResumeRefused("unreadable", detail="it is none of ours")
    end = start + token[len(MAGIC)]
    rest = end + SALT_BYTES
    if len(token) < rest + NONCE_BYTES:
        raise ResumeRefused("unreadable", detail="it is cut off")
    return token[start:end].decode("ascii", errors="replace"), token[:rest], token[rest:]


def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, PURPOSE + salt, sha256)

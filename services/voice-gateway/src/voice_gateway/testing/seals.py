"""A seal that seals nothing, for calls on virtual time."""

import asyncio
import json

from voice_gateway.application.ports import UnsealedCheckpoint
from voice_gateway.domain.checkpoint import CallCheckpoint, checkpoint_in, document_of
from voice_gateway.domain.codec import MalformedDataError
from voice_gateway.domain.errors import ResumeRefused


class OpenSeal:
    """Tokens are JSON that anyone may read and change. Their time is the running loop's."""

    def __init__(self, *, valid_ms: int = 300_000) -> None:
        self.valid_ms = valid_ms

    def seal(self, checkpoint: CallCheckpoint, *, principal: str) -> bytes:
        """The checkpoint in clear text."""
        return json.dumps({"for": principal, "at": self._now_ms(), **document_of(checkpoint)}).encode()

    def open(self, token: bytes, *, principal: str) -> UnsealedCheckpoint:
        """Read it. Raises ResumeRefused."""
        try:
            document = json.loads(token)
            age_ms = self._now_ms() - document["at"]
            checkpoint = checkpoint_in(document)
        except (ValueError, TypeError, KeyError, MalformedDataError) as error:
            raise ResumeRefused("unreadable", detail=repr(error)) from error
        if document.get("for") != principal:
            raise ResumeRefused("foreign")
        if age_ms > self.valid_ms:
            raise ResumeRefused("expired")
        return UnsealedCheckpoint(checkpoint, age_ms)

    def _now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000)

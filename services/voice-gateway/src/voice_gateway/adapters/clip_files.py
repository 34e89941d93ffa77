"""Clips of speech as files of one folder.

A file is one line of JSON, then the samples. It is named by a hash of what makes the clip (text, voice, language, rate)
and carries a hash of its content: a file that was cut short, edited or made for another text is not used. Writing goes
to a file beside it that then takes its place, so that a reader sees all or nothing.
"""

import asyncio
import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from servicekit.logs import get_logger
from voice_gateway.application.canned import CannedClip, ClipKey

FORMAT = 1

MAX_FILES = 64
"""Files kept: those written last. Edited texts and voices leave old ones behind."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""20 s at 48 kHz are 1.9 MB."""

SUFFIX = ".clip"

log = get_logger(__name__)


class ClipFiles:
    """The ClipStore port. Files are read and written in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load(self, key: ClipKey) -> CannedClip | None:
        """The clip, or None where there is none that can be used."""
        return await asyncio.to_thread(self._load, key)

    async def save(self, key: ClipKey, clip: CannedClip) -> None:
        """Write a clip. A folder that can't be written is logged."""
        await asyncio.to_thread(self._save, key, clip)

    def _path(self, key: ClipKey) -> Path:
        return self._folder / f"{key.name}{SUFFIX}"

    def _load(self, key: ClipKey) -> CannedClip | None:
        path = self._path(key)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            return parsed(content, key)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("clip_not_used", file=path.name, detail=repr(error))
            return None

    def _save(self, key: ClipKey, clip: CannedClip) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=SUFFIX)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(serialised(key, clip))
                Path(temporary).replace(self._path(key))
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
            self._forget_old()
        except OSError as error:
            log.warning("clip_not_saved", detail=repr(error))

    def _forget_old(self) -> None:
        files = sorted(self._folder.glob(f"[!.]*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in files[MAX_FILES:]:
            old.unlink(missing_ok=True)


def serialised(key: ClipKey, clip: CannedClip) -> bytes:
    """The content of a clip's file."""
    head = {
        "format": FORMAT,
        "key": asdict(key),
        "word_ends": clip.word_ends,
        "sha256": hashlib.sha256(clip.pcm).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + clip.pcm


def parsed(content: bytes, key: ClipKey) -> CannedClip:
    """The clip in a file's content. Raises ValueError, KeyError or TypeError where it is not the one of `key`."""
    head_line, line_end, pcm = content.partition(b"\n")
    head = json.loads(head_line)
    if not line_end or head["format"] != FORMAT or head["key"] != asdict(key):
        raise ValueError("the file holds another clip")
    if not pcm or len(pcm) % 2 or hashlib.sha256(pcm).hexdigest() != head["sha256"]:
        raise ValueError("the samples are damaged")
    word_ends = tuple(int(end) for end in head["word_ends"])
    if any(not 0 <= end <= len(pcm) // 2 for end in word_ends):
        raise ValueError("words end outside the samples")
    return CannedClip(key.text, pcm, word_ends)

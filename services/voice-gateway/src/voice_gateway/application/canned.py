"""Apologies that are ready to be heard whatever has failed.

Each configured sentence is synthesised once, when the process starts and when the configuration changes, and kept in
memory; on disk as well where a folder is configured, so that a pod that starts while synthesis is down has them. What
is not there is replaced: by the sentence in another voice, then by a short tone.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from servicekit.logs import get_logger
from voice_gateway.application.config import CallConfig, ConfigSource
from voice_gateway.application.ports import AudioTools, Tts, TtsRequest
from voice_gateway.domain.earcon import earcon
from voice_gateway.domain.errors import BackendError, BackendKind

KINDS: tuple[BackendKind, ...] = ("llm", "asr", "tts")

MAX_HELD_BYTES = 8 * 1024 * 1024
"""Of audio in memory. One voice's three sentences of 4 s are 384 kB at 16 kHz: room for some twenty."""

MAX_VOICES = 8
"""Voices and languages beside the configured ones that sentences are made in, the last that callers had. Each caller
may name another one."""

MAX_CLIP_S = 20
"""Of one sentence: 200 characters are some 13 s."""

LOOK_S = 2.0
"""How often the configuration is looked at: an edit is in force soon, and the look costs microseconds."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
"""Between attempts while synthesis fails; doubles. These requests compete with those of callers."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CannedClip:
    """A sentence, and its sound."""

    text: str
    """Empty where the sound has no words."""
    pcm: bytes
    word_ends: tuple[int, ...] = ()
    """Where each spoken word ends, in samples; empty where synthesis did not say."""


@dataclass(frozen=True, slots=True)
class ClipKey:
    """What makes one clip differ from another."""

    text: str
    language_code: str
    voice: str
    rate_hz: int

    @property
    def name(self) -> str:
        """Fit for a file: 64 hexadecimal digits."""
        parts = "\0".join((self.text, self.voice, self.language_code, str(self.rate_hz)))
        return hashlib.sha256(parts.encode()).hexdigest()


class ClipStore(Protocol):
    """Where clips outlive the process. Neither method raises: a clip that can't be kept is made again."""

    async def load(self, key: ClipKey) -> CannedClip | None:
        """The clip, or None where there is none or it is damaged."""
        ...

    async def save(self, key: ClipKey, clip: CannedClip) -> None:
        """Keep a clip."""
        ...


class CannedSpeech:
    """The apologies of a process. `keep` is its task; the other methods never wait and never fail."""

    def __init__(self, config: ConfigSource, tools: AudioTools, *, store: ClipStore | None = None) -> None:
        self._config = config
        self._tools = tools
        self._store = store
        self._held: OrderedDict[ClipKey, CannedClip] = OrderedDict()
        """The last used comes last."""
        self._held_bytes = 0
        self._wanted: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Languages and voices of callers, the latest last."""
        self._hopeless: set[ClipKey] = set()
        """What synthesis refuses to make; tried again when the configuration changes."""
        self._wake = asyncio.Event()

    # ---- for calls --------------------------------------------------------------------------------------------------

    def get(self, kind: BackendKind, *, language_code: str, voice: str, rate_hz: int) -> CannedClip:
        """The apology for a failure of `kind`, at the caller's rate. A tone without text where no voice has made it,
        and no sound at all only where the configuration wants neither.
        """
        self.want(language_code, voice)
        config = self._config.current()
        text = config.apology.text(kind, language_code, configured_language=config.tts.language_code)
        if text and (clip := self._find(ClipKey(text, language_code, voice, rate_hz))) is not None:
            return clip
        return CannedClip("", earcon(rate_hz) if config.apology.earcon else b"")

    def want(self, language_code: str, voice: str) -> None:
        """A caller speaks this language and hears this voice: have apologies in it soon."""
        pair = (language_code, voice)
        tts = self._config.current().tts
        if pair == (tts.language_code, tts.voice):
            return
        if pair not in self._wanted:
            self._wake.set()
        self._wanted[pair] = None
        self._wanted.move_to_end(pair)
        while len(self._wanted) > MAX_VOICES:
            self._wanted.popitem(last=False)

    def hold(self, key: ClipKey, clip: CannedClip) -> None:
        """Keep a clip in memory; those not used for longest make room, callers' before the configured ones."""
        if (earlier := self._held.pop(key, None)) is not None:
            self._held_bytes -= len(earlier.pcm)
        self._held[key] = clip
        self._held_bytes += len(clip.pcm)
        own = set(_own_keys(self._config.current()))
        for old in [held for held in self._held if held not in own and held != key]:
            if self._held_bytes <= MAX_HELD_BYTES:
                return
            self._held_bytes -= len(self._held.pop(old).pcm)
            self._wanted.pop((old.language_code, old.voice), None)

    def _find(self, wish: ClipKey) -> CannedClip | None:
        """The clip, from another rate or in another voice where need be; what was converted is kept."""
        found = self._best(wish)
        if found is None:
            return None
        self._held.move_to_end(found)
        clip = self._held[found]
        if found.rate_hz != wish.rate_hz:
            clip = self._converted(clip, found.rate_hz, wish.rate_hz)
            self.hold(ClipKey(found.text, found.language_code, found.voice, wish.rate_hz), clip)
        return clip

    def _best(self, wish: ClipKey) -> ClipKey | None:
        if wish in self._held:
            return wish
        alike = [key for key in self._held if key.text == wish.text]
        return max(alike, key=lambda key: (key.voice == wish.voice, key.rate_hz == wish.rate_hz), default=None)

    def _converted(self, clip: CannedClip, from_hz: int, to_hz: int) -> CannedClip:
        resampler = self._tools.resampler(from_hz, to_hz)
        pcm = clip.pcm if resampler is None else resampler.process(clip.pcm) + resampler.flush()
        return CannedClip(clip.text, pcm, tuple(end * to_hz // from_hz for end in clip.word_ends))

    # ---- the task ---------------------------------------------------------------------------------------------------

    async def keep(self, tts: Tts) -> None:
        """Have every sentence that may be needed, for as long as the process lives."""
        pause_s = FIRST_PAUSE_S
        revision = ""
        while True:
            self._wake.clear()
            config = self._config.current()
            if config.revision != revision:
                revision = config.revision
                self._hopeless.clear()
            try:
                complete = await self._complete(config, tts)
            except Exception:
                log.exception("apologies_not_made")
                complete = False
            if complete:
                pause_s = FIRST_PAUSE_S
                await self._wait(LOOK_S)
            else:
                await self._wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _complete(self, config: CallConfig, tts: Tts) -> bool:
        """Make what is missing; False where synthesis did not answer."""
        own = set(_own_keys(config))
        pairs = list(self._wanted)
        missing = [
            key
            for key in (*_own_keys(config), *(key for pair in pairs for key in _keys(config, *pair)))
            if key not in self._held and key not in self._hopeless
        ]
        if self._store is not None:
            # All that is on disk before the first request: that may wait for its deadline.
            for key in missing:
                if key in own and (clip := await self._store.load(key)) is not None:
                    self.hold(key, clip)
        for key in missing:
            if key in self._held:
                continue
            try:
                clip = await _synthesized(key, config, tts)
            except BackendError as error:
                log.warning("apology_not_made", reason=error.reason, detail=error.detail, language=key.language_code)
                if error.retryable:
                    return False
                clip = None
            if clip is None:
                self._hopeless.add(key)
                continue
            self.hold(key, clip)
            if self._store is not None and key in own:
                await self._store.save(key, clip)
        return True


def _own_keys(config: CallConfig) -> Iterator[ClipKey]:
    """The sentences in the configured language and voice."""
    return _keys(config, config.tts.language_code, config.tts.voice)


def _keys(config: CallConfig, language_code: str, voice: str) -> Iterator[ClipKey]:
    for kind in KINDS:
        text = config.apology.text(kind, language_code, configured_language=config.tts.language_code)
        if text:
            yield ClipKey(text, language_code, voice, config.tts.sample_rate_hz)


async def _synthesized(key: ClipKey, config: CallConfig, tts: Tts) -> CannedClip | None:
    """The clip; None where the voice makes no sound of the text, or no end. Raises `BackendError`."""
    request = TtsRequest(
        text=key.text,
        language_code=key.language_code,
        voice=key.voice,
        sample_rate_hz=key.rate_hz,
        model=config.tts.model,
        first_audio_timeout_ms=config.tts.first_audio_timeout_ms,
        chunk_timeout_ms=config.tts.chunk_timeout_ms,
    )
    pcm, word_ends = bytearray(), []
    async with tts.synthesize(request) as chunks:
        async for chunk in chunks:
            pcm += chunk.pcm
            word_ends += [word.end_ms * key.rate_hz // 1000 for word in chunk.words]
            if len(pcm) > 2 * MAX_CLIP_S * key.rate_hz:
                return None
    return CannedClip(key.text, bytes(pcm), tuple(word_ends)) if pcm else None

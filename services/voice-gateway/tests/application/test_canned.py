"""Apologies are made in time, kept within bounds, and there is always something to hear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.testing import run_virtual
from voice_gateway.application.canned import (
    KINDS,
    LONGEST_PAUSE_S,
    LOOK_S,
    MAX_HELD_BYTES,
    MAX_VOICES,
    CannedClip,
    CannedSpeech,
    ClipKey,
)
from voice_gateway.application.config import CallConfig, TtsConfig
from voice_gateway.domain.apology import ApologyConfig
from voice_gateway.domain.earcon import earcon
from voice_gateway.domain.errors import BackendRejected, BackendUnavailable
from voice_gateway.testing.backends import FakeTts, Log, TtsScript
from voice_gateway.testing.world import FakeAudioTools, FixedConfig

TTS = TtsConfig(voice="Aria")
CONFIG = CallConfig(tts=TTS)
TEXTS = CONFIG.apology


@dataclass
class Memory:
    """A store that keeps what it is given."""

    clips: dict[ClipKey, CannedClip] = field(default_factory=dict)
    asked: list[ClipKey] = field(default_factory=list)

    async def load(self, key: ClipKey) -> CannedClip | None:
        self.asked.append(key)
        return self.clips.get(key)

    async def save(self, key: ClipKey, clip: CannedClip) -> None:
        self.clips[key] = clip


@dataclass
class Process:
    """What the composition root has."""

    script: TtsScript = field(default_factory=TtsScript)
    store: Memory | None = None
    config: CallConfig = CONFIG

    def __post_init__(self) -> None:
        self.source = FixedConfig(self.config)
        self.tts = FakeTts(self.script, Log())
        self.canned = CannedSpeech(self.source, FakeAudioTools(), store=self.store)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CannedSpeech]:
        keeping = asyncio.create_task(self.canned.keep(self.tts))
        try:
            yield self.canned
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def text(self, voice: str = "Aria", language: str = "en-US", rate_hz: int = 16_000) -> str:
        return self.canned.get("llm", language_code=language, voice=voice, rate_hz=rate_hz).text


def test_soon_after_start_every_apology_is_there_with_its_words() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.running() as canned:
            await asyncio.sleep(10)
            for kind in KINDS:
                clip = canned.get(kind, language_code="en-US", voice="Aria", rate_hz=16_000)
                assert clip.text == getattr(TEXTS, kind)
                assert len(clip.pcm) == 2 * 16 * 60 * len(clip.text)
                assert len(clip.word_ends) == len(clip.text.split())
            assert len(process.tts.requests) == 3
            await asyncio.sleep(60)
            assert len(process.tts.requests) == 3
            assert {request.voice for request in process.tts.requests} == {"Aria"}

    run_virtual(scenario())


def test_a_caller_s_rate_is_served_and_converted_once() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.running() as canned:
            await asyncio.sleep(10)
            at_16 = canned.get("llm", language_code="en-US", voice="Aria", rate_hz=16_000)
            at_8 = canned.get("llm", language_code="en-US", voice="Aria", rate_hz=8_000)
            assert len(at_8.pcm) == len(at_16.pcm) // 2
            assert at_8.word_ends == tuple(end // 2 for end in at_16.word_ends)
            assert canned.get("llm", language_code="en-US", voice="Aria", rate_hz=8_000) is at_8

    run_virtual(scenario())


@pytest.mark.parametrize("voice", ["Aria", "Leo"])
def test_while_synthesis_is_away_there_is_a_tone_and_afterwards_the_words(voice: str) -> None:
    async def scenario() -> None:
        process = Process(TtsScript(stall_on_phrase=0))
        async with process.running() as canned:
            for _ in range(8):
                process.script.stall_on_phrase = len(process.tts.requests)
                clip = canned.get("llm", language_code="en-US", voice=voice, rate_hz=8_000)
                assert (clip.text, clip.pcm) == ("", earcon(8_000))
                await asyncio.sleep(1)
            process.script.stall_on_phrase = None
            await asyncio.sleep(LONGEST_PAUSE_S)
            assert process.text(voice) == TEXTS.llm

    run_virtual(scenario())


def test_attempts_grow_rare_while_synthesis_is_away() -> None:
    async def scenario() -> None:
        process = Process(TtsScript(first_chunk_ms=0))
        process.tts = Refusing(BackendUnavailable("tts", "Gone."))
        async with process.running():
            await asyncio.sleep(600)
        assert 8 <= len(process.tts.requests) <= 20

    run_virtual(scenario())


class Refusing(FakeTts):
    """A synthesiser that refuses, or refuses some voices."""

    def __init__(self, error: Exception, voices: frozenset[str] = frozenset()) -> None:
        super().__init__(TtsScript(), Log())
        self.error, self.voices = error, voices

    def synthesize(self, request):  # type: ignore[no-untyped-def]
        if self.voices and request.voice not in self.voices:
            return super().synthesize(request)
        self.requests.append(request)
        raise self.error


def test_a_new_text_is_made_when_the_configuration_changes() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.running():
            await asyncio.sleep(10)
            apology = replace(TEXTS, llm="One moment please.")
            process.source.config = replace(CONFIG, revision="2", apology=apology)
            assert process.text() == ""
            await asyncio.sleep(LOOK_S + 2)
            assert process.text() == "One moment please."

    run_virtual(scenario())


def test_a_caller_s_own_voice_is_made_and_until_then_another_one_speaks() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.running() as canned:
            await asyncio.sleep(10)
            aria = canned.get("llm", language_code="en-US", voice="Aria", rate_hz=16_000)
            assert canned.get("llm", language_code="en-US", voice="Leo", rate_hz=16_000) is aria
            await asyncio.sleep(5)
            leo = canned.get("llm", language_code="en-US", voice="Leo", rate_hz=16_000)
            assert (leo.text, leo.pcm == aria.pcm) == (aria.text, False)

    run_virtual(scenario())


def test_a_caller_s_language_has_its_own_text_and_never_another_language_s() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.running():
            await asyncio.sleep(10)
            assert process.text(language="de-DE") == ""
            assert process.text(language="ja-JP") == ""
            await asyncio.sleep(5)
            assert process.text(language="de-DE").startswith("Entschuldigung")
            assert process.text(language="ja-JP") == ""

    run_virtual(scenario())


def test_a_voice_that_does_not_exist_is_asked_for_once_and_harms_nobody() -> None:
    async def scenario() -> None:
        process = Process()
        process.tts = Refusing(BackendRejected("tts", "No such voice."), frozenset({"Nobody"}))
        async with process.running():
            for _ in range(30):
                assert process.text("Nobody") in {"", TEXTS.llm}
                await asyncio.sleep(1)
            assert [request.voice for request in process.tts.requests].count("Nobody") == 3
            assert process.text() == TEXTS.llm

    run_virtual(scenario())


def test_no_words_and_no_tone_where_none_are_wanted() -> None:
    for earcon_wanted in (True, False):
        config = replace(CONFIG, apology=ApologyConfig(llm="off", earcon=earcon_wanted))
        clip = Process(config=config).canned.get("llm", language_code="en-US", voice="Aria", rate_hz=16_000)
        assert clip == CannedClip("", earcon(16_000) if earcon_wanted else b"")


def test_what_is_on_disk_is_there_although_synthesis_is_not() -> None:
    async def scenario() -> None:
        store = Memory()
        before = Process(store=store)
        async with before.running():
            await asyncio.sleep(10)
        assert len(store.clips) == 3
        after = Process(TtsScript(stall_on_phrase=0), store)
        async with after.running():
            await asyncio.sleep(0.01)
            assert after.text() == TEXTS.llm
            assert after.tts.requests == []

    run_virtual(scenario())


def test_callers_voices_are_not_written_to_disk() -> None:
    async def scenario() -> None:
        process = Process(store=Memory())
        async with process.running():
            process.text("Leo")
            await asyncio.sleep(20)
            assert process.store is not None
            assert {key.voice for key in process.store.clips} == {key.voice for key in process.store.asked} == {"Aria"}

    run_virtual(scenario())


@given(st.lists(st.tuples(st.sampled_from("ABCDEFGHIJKLMNOP"), st.sampled_from([8_000, 16_000, 48_000])), max_size=60))
def test_memory_stays_within_its_bound_and_the_configured_voice_is_never_lost(wishes: list[tuple[str, int]]) -> None:
    canned = CannedSpeech(FixedConfig(CONFIG), FakeAudioTools())
    own = ClipKey(TEXTS.llm, "en-US", "Aria", 16_000)
    canned.hold(own, CannedClip(own.text, b"\1\0" * 16_000))
    for voice, rate_hz in wishes:
        key = ClipKey(TEXTS.llm, "en-US", voice, rate_hz)
        canned.hold(key, CannedClip(key.text, b"\2\0" * 400_000))
        assert canned.get("llm", language_code="en-US", voice=voice, rate_hz=rate_hz).pcm[:1] == b"\2"
        assert canned.get("llm", language_code="en-US", voice="Aria", rate_hz=16_000).pcm[:1] == b"\1"
        assert sum(len(clip.pcm) for clip in canned._held.values()) == canned._held_bytes
        assert canned._held_bytes <= MAX_HELD_BYTES + 800_000
        assert len(canned._wanted) <= MAX_VOICES


def test_the_configured_voice_stays_however_many_others_are_heard() -> None:
    canned = CannedSpeech(FixedConfig(CONFIG), FakeAudioTools())
    own = ClipKey(TEXTS.llm, "en-US", "Aria", 16_000)
    canned.hold(own, CannedClip(own.text, b"\1\0" * 16_000))
    for number in range(30):
        key = ClipKey(TEXTS.llm, "en-US", f"Voice-{number}", 16_000)
        canned.hold(key, CannedClip(key.text, b"\2\0" * 400_000))
    assert canned.get("llm", language_code="en-US", voice="Aria", rate_hz=16_000).pcm[:1] == b"\1"

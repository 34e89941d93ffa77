"""Whole calls with a journal on a real disk: they replay as they went; a redacted one holds nothing that was said."""

from dataclasses import replace
from pathlib import Path

import pytest

from servicekit.testing import run_virtual
from voice_gateway.adapters.journal_files import JournalFiles, JournalOptions
from voice_gateway.adapters.timeline_html import page
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import EventKind, Hello, Overrides, SpeakIn, TextIn
from voice_gateway.application.timeline import timeline
from voice_gateway.domain.errors import UnexpectedMessage
from voice_gateway.domain.recording import Recording, Words, read
from voice_gateway.domain.replay import replay
from voice_gateway.testing.backends import AsrScript, LlmScript
from voice_gateway.testing.world import ALL_CAPABILITIES, FixedConfig, World

HELLO = Hello(sample_rate_hz=16_000, capabilities=ALL_CAPABILITIES)


def recording_of(folder: Path) -> tuple[Recording, bytes]:
    (path,) = folder.iterdir()
    data = path.read_bytes()
    return read(data.decode().split("\n")), data


async def talkative(folder: Path, words: Words) -> World:
    """Says, types, announces, interrupts and retunes; canary words everywhere that words can come from."""
    config = CallConfig()
    overrides = frozenset({"llm_system_prompt", "tts_voice"})
    config = replace(config, allowed_overrides=overrides, llm=replace(config.llm, system_prompt="canary one"))
    async with JournalFiles(JournalOptions(folder, words)).running() as files:
        world = World(
            asr=AsrScript(transcripts=["canary two please", "canary three", "stop canary", "and so on"]),
            llm=LlmScript(replies=["Canary four, a long one. And canary five.", "Canary six."]),
            config=FixedConfig(config),
            journals=files,
        )
        hello = replace(
            HELLO,
            session_id="canary seven",
            overrides=Overrides(llm_system_prompt="canary eight", tts_voice="canary nine"),
        )
        async with world.call(hello) as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(300)
            await caller.speak(600)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
            await caller.send(TextIn("canary ten"))
            llm = replace(config.llm, system_prompt="canary eleven")
            world.config.config = replace(config, llm=llm, revision="next")
            await caller.send(SpeakIn("canary twelve", uninterruptible=False))
            await caller.listen_for(EventKind.END_OF_TURN, count=4)
    return world


def test_a_redacted_journal_holds_nothing_that_was_said(tmp_path: Path) -> None:
    run_virtual(talkative(tmp_path, Words.REDACTED), limit_s=600)
    recording, data = recording_of(tmp_path)
    assert recording.outcome is not None
    assert len(recording.journal.entries) > 30
    shown = page(timeline(replay(recording))).encode()
    for bad in (b"canary", b"Canary", b"seven", b"please", b"twelve"):
        assert bad not in data
        assert bad not in shown


def test_a_full_journal_holds_it(tmp_path: Path) -> None:
    """So that the test above looks for the right words."""
    run_virtual(talkative(tmp_path, Words.FULL), limit_s=600)
    _, data = recording_of(tmp_path)
    for said in (b"canary two", b"Canary four", b"canary eight", b"canary ten", b"canary twelve"):
        assert said in data
    assert b"canary seven" not in data, "the session's name is nobody's business"


@pytest.mark.parametrize("words", list(Words))
def test_a_call_replays_as_it_went(words: Words, tmp_path: Path) -> None:
    world = run_virtual(talkative(tmp_path, words), limit_s=600)
    recording, _ = recording_of(tmp_path)
    replayed = replay(recording)
    assert (replayed.problems, replayed.notes) == ((), ())
    shown = timeline(replayed)
    assert [(turn.rule, turn.outcome) for turn in shown.turns] == [
        (report.endpoint_rule, report.outcome) for report in world.telemetry.reports
    ]
    assert recording.outcome is not None
    assert (recording.outcome.status, recording.outcome.phase) == ("ok", "closed")


async def _refused(folder: Path) -> None:
    async with JournalFiles(JournalOptions(folder)).running() as files:
        world = World(journals=files)
        async with world.call(HELLO, ends_with=UnexpectedMessage) as caller:
            await caller.send(Hello())


async def _cancelled(folder: Path) -> None:
    async with JournalFiles(JournalOptions(folder)).running() as files:
        world = World(journals=files)
        async with world.call(HELLO) as caller:
            await caller.speak(400)
            caller.running.cancel()
            raise TimeoutError


def test_a_call_that_ended_for_a_reason_says_it(tmp_path: Path) -> None:
    run_virtual(_refused(tmp_path), limit_s=600)
    recording, _ = recording_of(tmp_path)
    assert recording.outcome is not None
    assert recording.outcome.status == "unexpected_message"
    assert replay(recording).problems == ()


def test_a_call_that_was_cancelled_says_it(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        run_virtual(_cancelled(tmp_path), limit_s=600)
    recording, _ = recording_of(tmp_path)
    assert recording.outcome is not None
    assert recording.outcome.status == "cancelled"
    assert replay(recording).problems == ()

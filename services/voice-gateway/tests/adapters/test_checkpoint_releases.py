"""A token of the release before: kept here as its bytes, so that no change of names or meanings goes unseen."""

import base64
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from voice_gateway.adapters.checkpoint_seal import FileKeys, SealedTokens
from voice_gateway.domain.actions import Canned
from voice_gateway.domain.checkpoint import AnswerUnderWay, CallCheckpoint, Known, QueuedSpeech, Talk
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.endpointing import CallerPace
from voice_gateway.domain.expectation import Expectation
from voice_gateway.domain.heard import HeardLedger, SpokenPhrase
from voice_gateway.domain.reply_state import CutAnswer, Origin, ReplyMarks, ReplyPause

RELEASED = (Path(__file__).parent / "checkpoint-0.1.token").read_text().strip()
"""Sealed by release 0.1 with `KEY` for "anna" at `SEALED_S`. It is never made again: a later format gets a file of its
own, and this one goes when 0.1 is two releases old.
"""
KEY = b"k1:" + base64.b64encode(bytes([7]) * 32)
SEALED_S = 1_700_000_000.0

CUT = Message(Role.ASSISTANT, "It is a", cut=True)
MEANT = CallCheckpoint(
    call_id="ab12",
    config_revision="c0ffee",
    language_code="de-DE",
    input_rate_hz=48_000,
    output_rate_hz=24_000,
    wishes=(("llm_temperature", 0.25), ("llm_max_tokens", 99), ("tts_voice", "Anna")),
    received_through_sample=123_456,
    talk=Talk(
        elapsed_ms=61_000,
        turn=3,
        generation=21,
        utterance=5,
        history=(Message(Role.USER, "wie spät ist es"), CUT, Message(Role.USER, "weiter")),
        known=Known(
            pace=CallerPace(pause_ms=410.5, weight=2.0, cut_ins=1.5),
            expected=Expectation.YES_NO,
            last_answer="It is a story.",
            answered_ms=44_000,
            force_eou_ignored=True,
        ),
        reprompts=2,
        keys="12",
        held=True,
        queued_speech=(QueuedSpeech("one moment", 2, uninterruptible=True),),
        too_long=True,
        farewell_turn=4,
        cut=CutAnswer(
            generation=9,
            base_sample=10,
            ledger=HeardLedger(24_000, (SpokenPhrase("It is a story.", 24_000, (6_000, 12_000, 18_000, 24_000)),)),
            message=CUT,
            complete=True,
            heard_samples=17_000,
        ),
        answer=AnswerUnderWay(
            turn=3,
            rule="silence",
            generation=21,
            base_sample=480,
            paused=ReplyPause(generation=20, base_sample=240, at_sample=360, at_ms=60_500),
            phrases=(
                SpokenPhrase("There was a harbour.", 30_000, (7_000, 15_000, 30_000)),
                SpokenPhrase("It was small."),
            ),
            complete=True,
            origin=Origin(uninterruptible=True, verbatim="There was", canned=Canned.LLM, heard_samples=100),
            expects=Expectation.NUMBER,
            heard_samples=360,
            marks=ReplyMarks(
                speech_end_ms=58_000,
                asked_ms=58_100,
                committed_ms=58_200,
                final_ms=58_150,
                first_token_ms=58_300,
                text_done_ms=59_000,
                first_phrase_ms=58_350,
                audio_ready_ms=58_400,
                playback_ms=58_450,
                played_ms=58_500,
            ),
        ),
    ),
)
"""What 0.1 put into it. No field has its default, so that one that is lost on the way shows."""


def test_a_token_of_the_release_before_means_what_it_meant(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(KEY)
    seal = SealedTokens(FileKeys(keys), valid_s=300, now_s=lambda: SEALED_S + 12.5)
    opened = seal.open(base64.b64decode(RELEASED), principal="anna")
    assert opened.checkpoint == MEANT
    assert opened.age_ms == 12_500


def test_it_has_every_field_that_there_is() -> None:
    """A field that came later is listed here, with the release that brought it."""
    later: set[str] = set()
    assert set(unset(MEANT)) <= later


def unset(value: Any) -> list[str]:
    """Names of the fields, however deep, that nothing was put into."""
    if isinstance(value, tuple):
        return [name for item in value[:1] for name in unset(item)]
    if not is_dataclass(value):
        return []
    found = []
    for each in fields(value):
        inner = getattr(value, each.name)
        if inner in (None, "", 0, False, ()) and (type(value).__name__, each.name) != ("Message", "cut"):
            found.append(f"{type(value).__name__}.{each.name}")
        found += unset(inner)
    return found

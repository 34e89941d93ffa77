"""The wire format, to the byte."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from voice_contracts import voice_workflow_pb2 as pb
from voice_gateway.adapters.wire import (
    CAPABILITIES,
    EVENTS,
    OFFERED_CONTROLS,
    WISHES,
    WireState,
    decode,
    encode,
)
from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioIn,
    AudioOut,
    Capability,
    CheckpointOut,
    ControlIn,
    DtmfIn,
    EventKind,
    EventOut,
    GoAwayOut,
    Hello,
    LatencyOut,
    Outbound,
    Overrides,
    PlaybackOut,
    PlaybackVerb,
    PlayedIn,
    PongOut,
    ResumeIn,
    SessionOut,
    SpeakIn,
    TextIn,
    TranscriptOut,
    Wish,
)
from voice_gateway.domain.errors import InvalidMessage
from voice_gateway.domain.report import Stage, TurnReport

EVERYTHING = frozenset(Capability)
LEGACY: frozenset[Capability] = frozenset()
SESSION = SessionOut("c1", 16_000, 24_000, 200, "r1", ("tts_voice",), 65_536, 4_000, 3_600_000)
REPORT = TurnReport(7, "silence", "answered", (Stage("endpoint", 0.0, 500.0),))


def resuming(**wish: Any) -> pb.ClientMessage:
    """The first message of a client that brings a call back."""
    return pb.ClientMessage(config=pb.VoiceConfig(resume=pb.Resume(token=b"t", **wish)))


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field, as the protobuf encoding has it."""
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (TranscriptOut(3, "what", final=False, revision=2), field(1, b"what...")),
        (TranscriptOut(3, "What time is it?", final=True), field(1, b"What time is it?")),
        (AnswerTextOut(3, "It is"), field(2, b"It is")),
        (AudioOut(3, 9, 320, b"\1\2\3\4"), field(3, b"\1\2\3\4")),
        (EventOut(3, EventKind.LISTENING), field(4, b"\x08\x01")),
        (EventOut(3, EventKind.PROCESSING), field(4, b"\x08\x02")),
        (EventOut(3, EventKind.SPEAKING), field(4, b"\x08\x03")),
        (EventOut(3, EventKind.END_OF_TURN), field(4, b"\x08\x05")),
        (EventOut(3, EventKind.ERROR, "No.", "R", True, True), field(4, b"\x08\x04" + field(2, b"No."))),
    ],
)
def test_a_client_of_the_first_contract_gets_its_bytes(message: Outbound, expected: bytes) -> None:
    encoded = encode(message, LEGACY, received_samples=99)
    assert encoded is not None
    assert encoded.SerializeToString(deterministic=True) == expected


@pytest.mark.parametrize(
    "message",
    [SESSION, LatencyOut(REPORT), GoAwayOut("soon", 5_000), *(PlaybackOut(1, 2, verb) for verb in PlaybackVerb)],
)
def test_what_was_not_announced_is_not_sent(message: Outbound) -> None:
    assert encode(message, LEGACY) is None
    assert encode(message, EVERYTHING) is not None


@pytest.mark.parametrize(
    ("message", "needed"),
    [
        (SESSION, Capability.SESSION_INFO),
        (LatencyOut(REPORT), Capability.LATENCY_REPORTS),
        (GoAwayOut("soon", 5_000), Capability.GO_AWAY),
        (PlaybackOut(1, 2, PlaybackVerb.FLUSH), Capability.PLAYBACK_FLUSHES),
        (PlaybackOut(1, 2, PlaybackVerb.DUCK, -15.0), Capability.PLAYBACK_CONTROL),
        (PlaybackOut(1, 2, PlaybackVerb.PAUSE), Capability.PLAYBACK_CONTROL),
        (PlaybackOut(1, 2, PlaybackVerb.RESUME), Capability.PLAYBACK_CONTROL),
    ],
)
def test_each_message_needs_its_own_capability(message: Outbound, needed: Capability) -> None:
    assert encode(message, frozenset({needed})) is not None
    assert encode(message, EVERYTHING - {needed}) is None


def test_a_client_that_wants_it_gets_turn_and_place() -> None:
    wanted = frozenset({Capability.SESSION_INFO})
    audio = encode(AudioOut(3, 9, 320, b"\0\0"), wanted, received_samples=1_600)
    assert audio == pb.ServerMessage(
        audio_chunk=b"\0\0", turn=3, generation=9, first_sample=320, received_through_sample=1_600
    )
    transcript = encode(TranscriptOut(3, "hi", final=True, revision=2), wanted)
    assert transcript == pb.ServerMessage(transcript_chunk="hi", turn=3, revision=2)
    event = encode(EventOut(3, EventKind.ERROR, "No.", "LLM_DOWN", True, True), wanted)
    assert event == pb.ServerMessage(
        event=pb.ServerEvent(type=pb.ERROR, message="No.", reason="LLM_DOWN", retryable=True, fatal=True), turn=3
    )
    session = encode(SESSION, wanted)
    assert session is not None
    assert session.session.call_id == "c1"
    assert (session.session.input_sample_rate, session.session.output_sample_rate) == (16_000, 24_000)
    assert list(session.session.capabilities.controls) == list(OFFERED_CONTROLS)
    assert pb.CHECKPOINTS not in session.session.capabilities.client_capabilities
    kept = encode(replace(SESSION, resumed=True, checkpoints=True), wanted)
    assert kept is not None
    assert set(kept.session.capabilities.client_capabilities) == set(CAPABILITIES)
    assert (kept.session.resumed, session.session.resumed) == (True, False)
    assert session.session.capabilities.max_call_seconds == 3_600


def test_a_flush_names_its_generation_to_clients_that_flush() -> None:
    flush = encode(PlaybackOut(3, 9, PlaybackVerb.FLUSH), frozenset({Capability.PLAYBACK_FLUSHES}))
    assert flush == pb.ServerMessage(playback=pb.PlaybackCommand(action=pb.PLAYBACK_FLUSH), generation=9)


def test_latency_and_pong() -> None:
    latency = encode(LatencyOut(REPORT), EVERYTHING)
    assert latency is not None
    assert latency.latency == pb.LatencyReport(
        stages=[pb.LatencyStage(stage="endpoint", start_ms=0, end_ms=500)], endpoint_rule="silence"
    )
    assert latency.turn == 7
    assert encode(PongOut(5), LEGACY) == pb.ServerMessage(pong=pb.Pong(ping_id=5))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            pb.ClientMessage(audio_chunk=b"\0\0", first_sample=2**64 - 1),
            "first_sample is 18446744073709551615; at most ",
        ),
        (pb.ClientMessage(played=pb.Played(generation=2**32 - 1)), "played.generation is 4294967295; at most "),
        (pb.ClientMessage(played=pb.Played(samples=2**63)), "played.samples is "),
        (resuming(first_sample=2**64 - 1), "resume.first_sample is "),
        (resuming(through_sample=2**60), "resume.through_sample is "),
        (resuming(played=pb.Played(generation=2**32 - 1)), "resume.played.generation is 4294967295; at most "),
    ],
)
def test_a_number_that_could_not_be_counted_on_is_refused(message: pb.ClientMessage, sentence: str) -> None:
    """Else the gateway's own next message could not be written, which is no fault of its own."""
    with pytest.raises(InvalidMessage, match=sentence):
        decode(message)


@given(st.text(max_size=40))
def test_only_interim_text_ends_in_dots(text: str) -> None:
    interim = encode(TranscriptOut(1, text, final=False), LEGACY)
    final = encode(TranscriptOut(1, text, final=True), LEGACY)
    assert interim is not None
    assert final is not None
    assert interim.transcript_chunk == text + "..."
    assert not final.transcript_chunk.endswith("...")
    assert final.transcript_chunk.rstrip(".") == text.rstrip(".")


# ---- from the caller ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (pb.ClientMessage(audio_chunk=b"\1"), AudioIn(b"\1")),
        (pb.ClientMessage(audio_chunk=b""), AudioIn(b"")),
        (pb.ClientMessage(text_input="hi"), TextIn("hi")),
        (pb.ClientMessage(control=pb.Control(kind=pb.CONTROL_PING, ping_id=4)), ControlIn(Wish.PING, 4)),
        (pb.ClientMessage(played=pb.Played(generation=2, samples=320)), PlayedIn(2, 320)),
        (pb.ClientMessage(dtmf=pb.Dtmf(digit="#")), DtmfIn("#")),
        (pb.ClientMessage(speak=pb.Speak(text="hi", uninterruptible=True)), SpeakIn("hi", True)),
        (pb.ClientMessage(config=pb.VoiceConfig()), Hello()),
    ],
)
def test_messages_are_understood(message: pb.ClientMessage, expected: object) -> None:
    assert decode(message) == expected


def test_a_config_is_understood_whole() -> None:
    config = pb.VoiceConfig(
        language_code="hi-IN", session_id="s", sample_rate=8_000, output_sample_rate=24_000,
        capabilities=[pb.SESSION_INFO, pb.GO_AWAY], input_codec=pb.PCM_S16LE,
    )  # fmt: skip
    config.overrides.llm_temperature = 0.0
    config.overrides.tts_voice = ""
    assert decode(pb.ClientMessage(config=config)) == Hello(
        language_code="hi-IN",
        session_id="s",
        sample_rate_hz=8_000,
        output_sample_rate_hz=24_000,
        capabilities=frozenset({Capability.SESSION_INFO, Capability.GO_AWAY}),
        overrides=Overrides(llm_temperature=0.0, tts_voice=""),
    )


def test_what_is_not_offered_is_noticed() -> None:
    assert decode(pb.ClientMessage(config=pb.VoiceConfig(output_codec=pb.OPUS))) == Hello(wants_other_codec=True)


def test_a_wish_to_resume_is_read() -> None:
    played = pb.Played(generation=7, samples=800)
    cause = pb.RESUME_CAUSE_SILENCE
    resume = pb.Resume(token=b"t", first_sample=9, through_sample=99, played=played, cause=cause, gap_ms=1_500)
    hello = decode(pb.ClientMessage(config=pb.VoiceConfig(resume=resume)))
    assert hello == Hello(resume=ResumeIn(b"t", 9, 99, PlayedIn(7, 800), "silence", 1_500))
    assert decode(pb.ClientMessage(config=pb.VoiceConfig(resume=pb.Resume()))) == Hello(resume=ResumeIn(b""))
    later = pb.Resume.FromString(bytes([5 << 3, 99]))  # a cause of a later contract
    assert decode(pb.ClientMessage(config=pb.VoiceConfig(resume=later))) == Hello(resume=ResumeIn(b""))


def test_a_checkpoint_goes_only_to_who_keeps_it() -> None:
    made = CheckpointOut(b"token", 1_600, 300_000)
    keeps = frozenset({Capability.CHECKPOINTS, Capability.GO_AWAY})
    assert encode(made, frozenset(Capability) - {Capability.CHECKPOINTS}) is None
    sealed = pb.Checkpoint(token=b"token", received_through_sample=1_600, valid_for_ms=300_000)
    assert encode(made, keeps) == pb.ServerMessage(checkpoint=sealed)
    away = encode(GoAwayOut("leaving", 1_000, made), keeps)
    assert away == pb.ServerMessage(go_away=pb.GoAway(reason="leaving", deadline_ms=1_000, checkpoint=sealed))


def test_a_resumed_call_counts_audio_from_the_calls_beginning() -> None:
    state = WireState()
    state.take(Hello(capabilities=frozenset({Capability.SESSION_INFO}), resume=ResumeIn(b"t", first_sample=1_000)))
    for message, received in ((AudioIn(bytes(20), 1_000), 1_010), (AudioIn(bytes(20), 1_020), 1_030)):
        state.take(message)
        encoded = state.encode(AnswerTextOut(1, "hi"))
        assert encoded is not None
        assert encoded.received_through_sample == received


def test_a_capability_of_a_later_contract_makes_no_difference() -> None:
    # Field 4, one packed value, 99.
    config = pb.VoiceConfig.FromString(bytes([4 << 3 | 2, 1, 99]))
    assert decode(pb.ClientMessage(config=config)) == Hello()


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (pb.ClientMessage(), "A message without content was received; exactly one of its fields must be set."),
        (
            pb.ClientMessage(control=pb.Control()),
            (
                "control.kind is 0; allowed is CONTROL_INTERRUPT, CONTROL_COMMIT_AUDIO, CONTROL_PAUSE, CONTROL_RESUME, "
                "CONTROL_CANCEL, CONTROL_PING."
            ),
        ),
    ],
)
def test_what_says_nothing_is_refused(message: pb.ClientMessage, sentence: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode(message)
    assert str(caught.value) == sentence


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    """Whatever parses is understood or refused with a sentence; nothing else is raised."""
    with suppress(DecodeError, InvalidMessage):
        decode(pb.ClientMessage.FromString(data))


def test_audio_received_is_counted_in_whole_samples() -> None:
    state = WireState()
    state.take(Hello(capabilities=frozenset({Capability.SESSION_INFO})))
    state.take(AudioIn(b"\0" * 3))
    state.take(AudioIn(b"\0" * 4))
    encoded = state.encode(AnswerTextOut(1, "hi"))
    assert encoded is not None
    assert encoded.received_through_sample == 3


def test_every_name_of_the_contract_has_its_counterpart() -> None:
    assert set(CAPABILITIES) == set(pb.ClientCapability.values()) - {0}
    assert set(WISHES) == set(pb.ControlKind.values()) - {0}
    assert set(EVENTS.values()) == set(pb.EventType.values()) - {0}
    assert set(CAPABILITIES.values()) == set(Capability)

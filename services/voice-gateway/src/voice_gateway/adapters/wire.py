"""The contract's messages to the application's, and back. Pure, and the only place that knows the contract's classes.

A client is sent only what it announced: one without capabilities gets what the first contract holds, to the byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import assert_never

from voice_contracts import voice_workflow_pb2 as pb
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
    Inbound,
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
    UpdateIn,
    Wish,
)
from voice_gateway.application.ports import BackendCheck
from voice_gateway.domain.errors import InvalidMessage

INTERIM_MARK = "..."
"""Ends interim text on the wire, and never final text."""

MAX_AVAILABLE = 20
"""Of `BackendStatus.available`."""

MAX_SAMPLE = 2**48
"""Of a position: 185 years at 48 kHz. What a client counts is counted on and sent back in fields of the same width."""

MAX_GENERATION = 2**31
"""Likewise: some resumed calls go on from the client's."""

CAPABILITIES: "Mapping[pb.ClientCapability.ValueType, Capability]" = {
    pb.SESSION_INFO: Capability.SESSION_INFO,
    pb.PLAYBACK_FLUSHES: Capability.PLAYBACK_FLUSHES,
    pb.PLAYBACK_CONTROL: Capability.PLAYBACK_CONTROL,
    pb.PLAYBACK_ACKS: Capability.PLAYBACK_ACKS,
    pb.LATENCY_REPORTS: Capability.LATENCY_REPORTS,
    pb.GO_AWAY: Capability.GO_AWAY,
    pb.CHECKPOINTS: Capability.CHECKPOINTS,
}

WISHES: "Mapping[pb.ControlKind.ValueType, Wish]" = {
    pb.CONTROL_INTERRUPT: Wish.INTERRUPT,
    pb.CONTROL_COMMIT_AUDIO: Wish.COMMIT_AUDIO,
    pb.CONTROL_PAUSE: Wish.PAUSE,
    pb.CONTROL_RESUME: Wish.RESUME,
    pb.CONTROL_CANCEL: Wish.CANCEL,
    pb.CONTROL_PING: Wish.PING,
}

EVENTS: "Mapping[EventKind, pb.EventType.ValueType]" = {
    EventKind.LISTENING: pb.LISTENING,
    EventKind.PROCESSING: pb.PROCESSING,
    EventKind.SPEAKING: pb.SPEAKING,
    EventKind.ERROR: pb.ERROR,
    EventKind.END_OF_TURN: pb.END_OF_TURN,
}

ACTIONS: "Mapping[PlaybackVerb, pb.PlaybackAction.ValueType]" = {
    PlaybackVerb.DUCK: pb.PLAYBACK_DUCK,
    PlaybackVerb.PAUSE: pb.PLAYBACK_PAUSE,
    PlaybackVerb.RESUME: pb.PLAYBACK_RESUME,
    PlaybackVerb.FLUSH: pb.PLAYBACK_FLUSH,
}

OFFERED_CONTROLS = tuple(WISHES)
"""What application/uplink.py obeys."""

CAUSES: "Mapping[pb.ResumeCause.ValueType, str]" = {
    pb.RESUME_CAUSE_RESET: "reset",
    pb.RESUME_CAUSE_SILENCE: "silence",
    pb.RESUME_CAUSE_GO_AWAY: "go_away",
}

PCM = (pb.AUDIO_CODEC_UNSPECIFIED, pb.PCM_S16LE)


# ---- from the caller ------------------------------------------------------------------------------------------------


def decode(message: pb.ClientMessage) -> Inbound:
    """Raises InvalidMessage for a message that says nothing, or nothing that this contract knows."""
    match message.WhichOneof("content"):
        case "config":
            return _hello(message.config)
        case "audio_chunk":
            return AudioIn(message.audio_chunk, _bounded("first_sample", message.first_sample, MAX_SAMPLE))
        case "text_input":
            return TextIn(message.text_input)
        case "control":
            wish = WISHES.get(message.control.kind)
            if wish is None:
                allowed = ", ".join(pb.ControlKind.Name(kind) for kind in OFFERED_CONTROLS)
                raise InvalidMessage(f"control.kind is {int(message.control.kind)}; allowed is {allowed}.")
            return ControlIn(wish, message.control.ping_id)
        case "played":
            return _played(message.played, "played")
        case "dtmf":
            return DtmfIn(message.dtmf.digit)
        case "update":
            return UpdateIn(_overrides(message.update), message.update.language_code)
        case "speak":
            return SpeakIn(message.speak.text, message.speak.uninterruptible)
        case _:
            raise InvalidMessage("A message without content was received; exactly one of its fields must be set.")


def _hello(config: pb.VoiceConfig) -> Hello:
    return Hello(
        language_code=config.language_code,
        session_id=config.session_id,
        sample_rate_hz=config.sample_rate,
        output_sample_rate_hz=config.output_sample_rate,
        # A capability that is not known here makes no difference here.
        capabilities=frozenset(CAPABILITIES[number] for number in config.capabilities if number in CAPABILITIES),
        overrides=_overrides(config.overrides),
        wants_other_codec=config.input_codec not in PCM or config.output_codec not in PCM,
        resume=_resume(config.resume) if config.HasField("resume") else None,
    )


def _resume(wish: pb.Resume) -> ResumeIn:
    return ResumeIn(
        wish.token,
        _bounded("resume.first_sample", wish.first_sample, MAX_SAMPLE),
        _bounded("resume.through_sample", wish.through_sample, MAX_SAMPLE),
        _played(wish.played, "resume.played") if wish.HasField("played") else None,
        CAUSES.get(wish.cause, "unspecified"),
        wish.gap_ms,
    )


def _played(played: pb.Played, name: str) -> PlayedIn:
    return PlayedIn(
        _bounded(f"{name}.generation", played.generation, MAX_GENERATION),
        _bounded(f"{name}.samples", played.samples, MAX_SAMPLE),
    )


def _bounded(name: str, value: int, most: int) -> int:
    if value > most:
        raise InvalidMessage(f"{name} is {value}; at most {most} is allowed.")
    return value


def _overrides(wishes: pb.SessionOverrides) -> Overrides:
    return Overrides(
        **{
            field.name: getattr(wishes, field.name) if wishes.HasField(field.name) else None  # type: ignore[arg-type]
            for field in fields(Overrides)
        }
    )


# ---- to the caller --------------------------------------------------------------------------------------------------


def encode(
    message: Outbound, capabilities: frozenset[Capability], *, received_samples: int = 0
) -> pb.ServerMessage | None:
    """The message for a client with these capabilities; None where it would not understand it.

    `received_samples` is how much of the microphone's audio has arrived, for clients that want to know.
    """
    encoded = _content(message, capabilities)
    if encoded is not None and Capability.SESSION_INFO in capabilities:
        encoded.received_through_sample = received_samples
        if isinstance(message, TranscriptOut | AnswerTextOut | AudioOut | EventOut | PlaybackOut):
            encoded.turn = message.turn
        if isinstance(message, LatencyOut):
            encoded.turn = message.report.turn
        if isinstance(message, TranscriptOut):
            encoded.revision = message.revision
        if isinstance(message, AudioOut):
            encoded.generation = message.generation
            encoded.first_sample = message.first_sample
    return encoded


def _content(message: Outbound, capabilities: frozenset[Capability]) -> pb.ServerMessage | None:
    """The part that is in the oneof."""
    match message:
        case AudioOut():
            return pb.ServerMessage(audio_chunk=message.pcm)
        case AnswerTextOut():
            return pb.ServerMessage(llm_response_chunk=message.text)
        case TranscriptOut():
            return pb.ServerMessage(transcript_chunk=_transcript(message))
        case EventOut():
            return pb.ServerMessage(event=_event(message, capabilities))
        case PongOut():
            # Only a client that knows it has asked for it.
            return pb.ServerMessage(pong=pb.Pong(ping_id=message.ping_id))
        case PlaybackOut() | SessionOut() | LatencyOut() | GoAwayOut() | CheckpointOut():
            return _announced(message) if _wanted_by(message) in capabilities else None
        case _:
            assert_never(message)


Announced = PlaybackOut | SessionOut | LatencyOut | GoAwayOut | CheckpointOut
"""Only for clients that said they understand it."""


def _wanted_by(message: Announced) -> Capability:
    """The capability of clients that understand the message."""
    match message:
        case PlaybackOut(verb=PlaybackVerb.FLUSH):
            return Capability.PLAYBACK_FLUSHES
        case PlaybackOut():
            return Capability.PLAYBACK_CONTROL
        case SessionOut():
            return Capability.SESSION_INFO
        case LatencyOut():
            return Capability.LATENCY_REPORTS
        case GoAwayOut():
            return Capability.GO_AWAY
        case CheckpointOut():
            return Capability.CHECKPOINTS
        case _:
            assert_never(message)


def _announced(message: Announced) -> pb.ServerMessage:
    match message:
        case PlaybackOut():
            # A flush means nothing without its generation, so it goes to clients without SESSION_INFO as well. Their
            # audio carries none, counts as generation 0, and is all older.
            return pb.ServerMessage(
                playback=pb.PlaybackCommand(action=ACTIONS[message.verb], gain_db=message.gain_db),
                generation=message.generation,
            )
        case SessionOut():
            return pb.ServerMessage(session=_session(message))
        case LatencyOut():
            report = message.report
            stages = [
                pb.LatencyStage(stage=stage.name, start_ms=stage.start_ms, end_ms=stage.end_ms)
                for stage in report.stages
            ]
            return pb.ServerMessage(latency=pb.LatencyReport(stages=stages, endpoint_rule=report.endpoint_rule))
        case GoAwayOut():
            checkpoint = _checkpoint(message.checkpoint) if message.checkpoint is not None else None
            go_away = pb.GoAway(reason=message.reason, deadline_ms=message.deadline_ms, checkpoint=checkpoint)
            return pb.ServerMessage(go_away=go_away)
        case CheckpointOut():
            return pb.ServerMessage(checkpoint=_checkpoint(message))
        case _:
            assert_never(message)


def _checkpoint(message: CheckpointOut) -> pb.Checkpoint:
    return pb.Checkpoint(
        token=message.token,
        received_through_sample=message.received_through_sample,
        valid_for_ms=message.valid_for_ms,
    )


def _transcript(message: TranscriptOut) -> str:
    if not message.final:
        return message.text + INTERIM_MARK
    # "Well..." would look like interim text to a client of the first contract.
    return message.text.rstrip(".") + "." if message.text.endswith(INTERIM_MARK) else message.text


def _event(message: EventOut, capabilities: frozenset[Capability]) -> pb.ServerEvent:
    event = pb.ServerEvent(type=EVENTS[message.kind], message=message.message)
    if Capability.SESSION_INFO in capabilities:
        event.reason = message.reason
        event.retryable = message.retryable
        event.fatal = message.fatal
    return event


def _session(message: SessionOut) -> pb.SessionStarted:
    return pb.SessionStarted(
        call_id=message.call_id,
        input_sample_rate=message.input_sample_rate_hz,
        output_sample_rate=message.output_sample_rate_hz,
        playout_lead_ms=message.playout_lead_ms,
        config_revision=message.config_revision,
        resumed=message.resumed,
        capabilities=pb.ServerCapabilities(
            controls=OFFERED_CONTROLS,
            input_codecs=[pb.PCM_S16LE],
            output_codecs=[pb.PCM_S16LE],
            overrides=message.overrides,
            client_capabilities=[
                number
                for number, known in CAPABILITIES.items()
                if message.checkpoints or known is not Capability.CHECKPOINTS
            ],
            speak=True,
            dtmf=True,
            update=True,
            max_chunk_bytes=message.max_chunk_bytes,
            max_text_characters=message.max_text_characters,
            max_call_seconds=message.max_call_ms // 1000,
        ),
    )


# ---- backends -------------------------------------------------------------------------------------------------------


def encode_checks(checks: tuple[BackendCheck, ...]) -> pb.CheckBackendsResponse:
    """How the backends are."""
    return pb.CheckBackendsResponse(
        backends=[
            pb.BackendStatus(
                kind=check.kind,
                configured=check.configured,
                ok=check.ok,
                detail=check.detail,
                latency_ms=check.latency_ms,
                available=check.available[:MAX_AVAILABLE],
            )
            for check in checks
        ]
    )


# ---- one caller's side ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class WireState:
    """What of a call's messages shapes later ones: the client's capabilities, and the audio received so far."""

    capabilities: frozenset[Capability] = frozenset()
    received_bytes: int = 0

    def take(self, message: Inbound) -> Inbound:
        """Note what came in."""
        match message:
            case Hello():
                self.capabilities = message.capabilities
                if message.resume is not None:
                    self.received_bytes = 2 * message.resume.first_sample
            case AudioIn():
                if message.first_sample:
                    self.received_bytes = 2 * message.first_sample
                self.received_bytes += len(message.pcm)
            case _:
                pass
        return message

    def encode(self, message: Outbound) -> pb.ServerMessage | None:
        """`encode`, for this caller."""
        return encode(message, self.capabilities, received_samples=self.received_bytes // 2)

"""The one place of this package where messages of the contract are made and read."""

from dataclasses import dataclass, field

from voice_clients.events import (
    AnswerAudio,
    AnswerText,
    CallEvent,
    Capability,
    Cause,
    Checkpoint,
    Event,
    EventKind,
    GoAway,
    Latency,
    Playback,
    PlaybackAction,
    Pong,
    Session,
    Stage,
    Transcript,
)
from voice_clients.plain_text import plain
from voice_contracts import voice_workflow_pb2 as pb

INTERIM_MARK = "..."  # interim transcripts end in it; final ones do not


@dataclass(frozen=True, slots=True)
class Overrides:
    """Wishes for one call; None leaves the gateway's own setting. The gateway says which it allows."""

    llm_temperature: float | None = None
    llm_max_tokens: int | None = None
    tts_voice: str | None = None
    llm_system_prompt: str | None = None
    llm_model: str | None = None
    asr_model: str | None = None
    tts_model: str | None = None
    endpoint_silence_ms: int | None = None
    language_code: str | None = None
    """Of a running call; the first message has its own field for it."""


NO_OVERRIDES = Overrides()


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """What a new connection is told of the call that it goes on with; fields as in `Resume` of the contract."""

    token: bytes = field(repr=False)
    first_sample: int
    played_generation: int
    played_samples: int
    through_sample: int
    cause: Cause
    gap_ms: int


def config_message(
    *,
    language_code: str,
    session_id: str,
    sample_rate_hz: int,
    output_sample_rate_hz: int,
    capabilities: frozenset[Capability],
    overrides: Overrides,
    resume: ResumeRequest | None = None,
) -> pb.ClientMessage:
    """The first message of a call. With no capability, rate or override it is a message of the first contract."""
    config = pb.VoiceConfig(language_code=language_code, session_id=session_id, sample_rate=sample_rate_hz)
    config.output_sample_rate = output_sample_rate_hz
    config.capabilities.extend(pb.ClientCapability.ValueType(item.value) for item in sorted(capabilities))
    _fill(config.overrides, overrides)
    if resume is not None:
        config.resume.CopyFrom(
            pb.Resume(
                token=resume.token,
                first_sample=resume.first_sample,
                played=pb.Played(generation=resume.played_generation, samples=resume.played_samples),
                through_sample=resume.through_sample,
                cause=pb.ResumeCause.ValueType(resume.cause.value),
                gap_ms=resume.gap_ms,
            )
        )
    return pb.ClientMessage(config=config)


def _fill(message: pb.SessionOverrides, overrides: Overrides) -> None:
    for name in Overrides.__slots__:
        value = getattr(overrides, name)
        if value is not None:
            setattr(message, name, value)


def update_message(overrides: Overrides) -> pb.ClientMessage:
    """Other settings for a running call; those that are None stay as they are."""
    message = pb.ClientMessage(update=pb.SessionOverrides())
    _fill(message.update, overrides)
    return message


def dtmf_message(digit: str) -> pb.ClientMessage:
    """A key of a telephone keypad."""
    return pb.ClientMessage(dtmf=pb.Dtmf(digit=digit))


def audio_message(pcm: bytes, first_sample: int = 0) -> pb.ClientMessage:
    """Microphone audio: s16le mono at the rate of the config. `first_sample`: since the start of the call."""
    return pb.ClientMessage(audio_chunk=pcm, first_sample=first_sample)


def text_message(text: str) -> pb.ClientMessage:
    """A typed turn."""
    return pb.ClientMessage(text_input=text)


def speak_message(text: str) -> pb.ClientMessage:
    """Text to be spoken as it is."""
    return pb.ClientMessage(speak=pb.Speak(text=text))


def played_message(generation: int, samples: int) -> pb.ClientMessage:
    """How much of a generation was heard."""
    return pb.ClientMessage(played=pb.Played(generation=generation, samples=samples))


def control_message(name: str, *, ping_id: int = 0) -> pb.ClientMessage:
    """A control by its short name: INTERRUPT, COMMIT_AUDIO, PAUSE, RESUME, CANCEL or PING."""
    return pb.ClientMessage(control=pb.Control(kind=pb.ControlKind.Value(f"CONTROL_{name}"), ping_id=ping_id))


def read_event(message: pb.ServerMessage, at_ns: int) -> CallEvent | None:
    """Turn what the gateway sent into an event; None for content that this client does not know."""
    turn = message.turn
    match message.WhichOneof("content"):
        case "audio_chunk":  # first: it is most of the traffic
            return AnswerAudio(at_ns, turn, message.generation, message.first_sample, message.audio_chunk)
        case "transcript_chunk":
            text = plain(message.transcript_chunk)
            final = not text.endswith(INTERIM_MARK)
            return Transcript(at_ns, turn, message.revision, text.removesuffix(INTERIM_MARK).strip(), final)
        case "llm_response_chunk":
            return AnswerText(at_ns, turn, plain(message.llm_response_chunk))
        case "event":
            return _read_server_event(message.event, turn, at_ns)
        case "session":
            return _read_session(message.session, at_ns)
        case "playback":
            command = message.playback
            action = PlaybackAction(command.action) if command.action in _ACTIONS else PlaybackAction.UNKNOWN
            return Playback(at_ns, action, message.generation, command.gain_db)
        case "latency":
            stages = tuple(Stage(plain(item.stage), item.start_ms, item.end_ms) for item in message.latency.stages)
            return Latency(at_ns, turn, stages, plain(message.latency.endpoint_rule))
        case "go_away":
            away = message.go_away
            checkpoint = _read_checkpoint(away.checkpoint, turn, at_ns) if away.HasField("checkpoint") else None
            return GoAway(at_ns, plain(away.reason), away.deadline_ms, checkpoint)
        case "checkpoint":
            return _read_checkpoint(message.checkpoint, turn, at_ns)
        case "pong":
            return Pong(at_ns, message.pong.ping_id)
        case _:
            return None


_KINDS = frozenset(kind.value for kind in EventKind)
_ACTIONS = frozenset(action.value for action in PlaybackAction)


def _read_server_event(event: pb.ServerEvent, turn: int, at_ns: int) -> Event:
    kind = EventKind(event.type) if event.type in _KINDS else EventKind.UNKNOWN
    return Event(at_ns, turn, kind, plain(event.message), plain(event.reason), event.retryable, event.fatal)


def _read_checkpoint(checkpoint: pb.Checkpoint, turn: int, at_ns: int) -> Checkpoint:
    return Checkpoint(at_ns, turn, checkpoint.token, checkpoint.received_through_sample, checkpoint.valid_for_ms)


def _read_session(session: pb.SessionStarted, at_ns: int) -> Session:
    known = pb.ControlKind.values()
    controls = (pb.ControlKind.Name(kind) for kind in session.capabilities.controls if kind in known)
    return Session(
        at_ns,
        plain(session.call_id),
        session.input_sample_rate,
        session.output_sample_rate,
        session.playout_lead_ms,
        session.config_revision,
        frozenset(name.removeprefix("CONTROL_") for name in controls),
        session.capabilities.speak,
        session.capabilities.dtmf,
        session.capabilities.update,
        frozenset(session.capabilities.overrides),
        pb.CHECKPOINTS in session.capabilities.client_capabilities,
        session.resumed,
    )

"""What the calls of a process share."""

from dataclasses import dataclass, field

from voice_gateway.application.canned import CannedSpeech
from voice_gateway.application.config import ConfigSource
from voice_gateway.application.ports import AudioTools, CheckpointSeal, Clock, EndOfTurnModel, JournalSink, Telemetry
from voice_gateway.application.recording import NoJournals
from voice_gateway.domain.speculation import RecogniserLag


@dataclass(slots=True)
class SharedKnowledge:
    """What calls learn about the backends and later calls of the process use."""

    force_eou_ignored: bool = False
    recogniser_lag: RecogniserLag = field(default_factory=RecogniserLag)
    """As the call that had the last turn knows it."""


@dataclass(frozen=True, slots=True)
class CallServices:
    """What every call of a process shares."""

    config: ConfigSource
    tools: AudioTools
    clock: Clock
    telemetry: Telemetry
    knowledge: SharedKnowledge
    canned: CannedSpeech
    turn_model: EndOfTurnModel | None = None
    journals: JournalSink = field(default_factory=NoJournals)
    seal: CheckpointSeal | None = None
    """Without one, calls cannot be resumed."""

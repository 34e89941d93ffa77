"""Where the time of a turn went."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """One interval, in milliseconds from the end of the caller's speech; what began before that is negative."""

    name: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class TurnReport:
    """A turn that has ended."""

    turn: int
    endpoint_rule: str
    """What ended the caller's turn: "silence", "asr_final", "asr_first_pass", "final_timeout", "commit",
    "end_of_audio" or "text"; "speak" where a text was spoken without a question.
    """
    outcome: str
    """"answered", "interrupted", "failed", "empty", or "cut_off" by the end of the call."""
    stages: tuple[Stage, ...] = ()
    heard_samples: int = 0
    interruption_ms: float | None = None
    """From the start of the caller's speech over the answer to the decision to stop."""
    speech_end_ms: int = 0
    """Call time that the stages count from."""

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if the turn came so far."""
        return next((stage for stage in self.stages if stage.name == name), None)

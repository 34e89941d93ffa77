"""Where the time of a turn went."""

from dataclasses import dataclass

SPOKEN_RULES = (
    *("complete", "neutral", "no_text", "yes_no", "trailing"),
    *("digits", "digits_enough", "spelling", "email"),
    *("model_complete", "model_incomplete"),
    *("asr_final", "asr_first_pass", "final_timeout", "overlap", "commit", "hold", "end_of_audio"),
)
"""What ends turns that callers speak: docs/explanation/end-of-turn.md."""

SPEAK_RULE = "speak"
"""Of an answer to no question: a text that was to be spoken."""

RULES = (*SPOKEN_RULES, "text", "keys", SPEAK_RULE)

OUTCOMES = ("answered", "interrupted", "failed", "empty", "cut_off")
""""cut_off": the call ended, or its connection was lost, in the middle of the answer."""


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
    """What ended the caller's turn: one of RULES."""
    outcome: str
    """One of OUTCOMES."""
    stages: tuple[Stage, ...] = ()
    heard_samples: int = 0
    interruption_ms: float | None = None
    """From the start of the caller's speech over the answer to the decision to stop."""
    speech_end_ms: int = 0
    """Call time that the stages count from."""

    @property
    def spoken(self) -> bool:
        """Whether the caller spoke: only then is there an end of speech to count from."""
        return self.endpoint_rule not in ("text", "keys", SPEAK_RULE)

    @property
    def asked(self) -> bool:
        """Whether the caller waited for an answer."""
        return self.endpoint_rule != SPEAK_RULE

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if the turn came so far."""
        return next((stage for stage in self.stages if stage.name == name), None)

"""A call that was cut off, as its client brings it back."""

from dataclasses import dataclass, fields, replace

from voice_gateway.application.messages import Hello, Overrides, ResumeIn
from voice_gateway.application.overrides import Admitted, check_connection
from voice_gateway.application.ports import CheckpointSeal
from voice_gateway.domain.checkpoint import CallCheckpoint
from voice_gateway.domain.errors import InvalidConfig
from voice_gateway.domain.events import CallResumed, Played
from voice_gateway.domain.resuming import heard_before


class CallMoved(Exception):
    """The call goes on elsewhere: this is the end of it here, and a good one."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a call goes on with."""

    checkpoint: CallCheckpoint
    age_ms: int
    """Of the checkpoint."""
    asked: ResumeIn

    @property
    def elapsed_ms(self) -> int:
        """How long the call has lasted."""
        return self.checkpoint.talk.elapsed_ms + self.age_ms

    @property
    def start_sample(self) -> int:
        """The first microphone sample that is wanted: what lies before is accounted for, or was not kept."""
        return max(self.checkpoint.received_through_sample, self.asked.first_sample)

    @property
    def zero_sample(self) -> int:
        """Where the microphone is now. What the client sends again does not run ahead of real time, even where its
        clock, or that of the process before, is not ours.
        """
        return max(self.asked.through_sample, self.elapsed_ms * self.checkpoint.input_rate_hz // 1000)

    @property
    def played(self) -> Played | None:
        """What the client says that it played last."""
        played = self.asked.played
        return None if played is None else Played(played.generation, played.samples)

    def heard_of(self, turn: int) -> bool:
        """Whether some of the turn's answer was heard before."""
        answer = self.checkpoint.talk.answer
        return answer is not None and answer.turn == turn and heard_before(answer, self.played) > 0

    def event(self, *, system_prompt: str, input_sample_rate_hz: int) -> CallResumed:
        """What the machine is told."""
        return CallResumed(
            self.checkpoint.talk,
            self.checkpoint.output_rate_hz,
            system_prompt,
            input_sample_rate_hz,
            self.played,
            self.age_ms,
        )


def taken_up(asked: ResumeIn, seal: CheckpointSeal | None, *, principal: str) -> Resumption:
    """The call that the client wants to go on with. Raises ResumeRefused, or InvalidConfig where none can be."""
    if seal is None:
        raise InvalidConfig("resume is not offered by this gateway; start a new call without it.")
    opened = seal.open(asked.token, principal=principal)
    # It goes into a metric: nobody is away for longer than a token is good for.
    gap_ms = min(max(0, asked.gap_ms), seal.valid_ms)
    return Resumption(opened.checkpoint, opened.age_ms, replace(asked, gap_ms=gap_ms))


def readmit(hello: Hello, resumption: Resumption) -> Admitted:
    """What the call goes on with: its language, rates and wishes are those of the checkpoint, which were checked when
    it began. Raises InvalidConfig where the client says something else of its audio.
    """
    check_connection(hello)
    checkpoint = resumption.checkpoint
    rates = (
        ("sample_rate", hello.sample_rate_hz, checkpoint.input_rate_hz),
        ("output_sample_rate", hello.output_sample_rate_hz, checkpoint.output_rate_hz),
    )
    for name, asked_hz, has_hz in rates:
        if asked_hz not in (0, has_hz):
            raise InvalidConfig(f"{name} is {asked_hz}; the call that is resumed has {has_hz}.")
    known = {field.name for field in fields(Overrides)}
    wishes = {name: value for name, value in checkpoint.wishes if name in known}
    return Admitted(
        checkpoint.language_code,
        checkpoint.input_rate_hz,
        checkpoint.output_rate_hz,
        hello.capabilities,
        Overrides(**wishes),  # type: ignore[arg-type] # sealed by us, of the types that they were taken in
        hello.session_id,
    )


def wishes_of(overrides: Overrides) -> tuple[tuple[str, str | int | float], ...]:
    """The caller's wishes as a checkpoint holds them."""
    named = ((field.name, getattr(overrides, field.name)) for field in fields(overrides))
    return tuple((name, value) for name, value in named if value is not None)

"""One event being handled."""

from dataclasses import dataclass, field

from voice_gateway.domain.actions import Action
from voice_gateway.domain.call_state import CallState


@dataclass(slots=True)
class Step:
    """The call's memory, the time, and what is to be done, in order."""

    state: CallState
    now: int
    """Call time in ms."""
    out: list[Action] = field(default_factory=list)

    def do(self, *actions: Action) -> None:
        """Have the shell do these, after what was asked before."""
        self.out.extend(actions)

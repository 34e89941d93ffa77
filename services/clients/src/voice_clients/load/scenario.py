"""How many callers, for how long, and how each of them behaves. Pure."""

from dataclasses import dataclass
from types import MappingProxyType

SHORTEST_CHUNK_MS, LONGEST_CHUNK_MS = 10, 256
"""256 ms are 4096 samples at 16 kHz: what clients of the first contract send."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run. User `n` of `users` dials `n / users` of the ramp after the start."""

    name: str
    users: int
    duration_s: float
    """From the start until nobody begins another turn; turns that run are finished."""
    ramp_s: float = 0.0
    think_s: tuple[float, float] = (0.5, 1.5)
    """Shortest and longest silence between an answer's end and the next speech."""
    turns_per_call: int = 0
    """After so many turns a user hangs up and dials again; 0: one call for the whole run."""
    interrupt_share: float = 0.0
    """Share of answers that are spoken over."""
    chunk_ms: int = 20
    answer_timeout_s: float = 15.0
    """A turn whose answer does not begin within it is lost."""
    seed: int = 0

    def dials_after_s(self, user: int) -> float:
        """When a user dials first."""
        return self.ramp_s * user / self.users


SCENARIOS = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("baseline", users=1, duration_s=60),
            Scenario("light", users=5, duration_s=60, ramp_s=5),
            Scenario("medium", users=20, duration_s=120, ramp_s=10),
            Scenario("heavy", users=50, duration_s=120, ramp_s=20),
            Scenario("spike", users=100, duration_s=60),
            # New calls all along: what leaks, leaks by the call.
            Scenario("endurance", users=20, duration_s=1800, ramp_s=20, turns_per_call=20),
        )
    }
)

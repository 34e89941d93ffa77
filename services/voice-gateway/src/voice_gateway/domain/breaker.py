"""A circuit breaker: keeps callers from waiting for a backend that is known to be ill.

The three states are those of M. Nygard, "Release It!" (2nd ed., section "Circuit Breaker"). What opens it is failures
in a row, as in Envoy's outlier detection (`consecutive_5xx`, 5 by default), and not a share of failures in a window:
a share needs traffic to mean something (Hystrix asks for 20 requests in 10 s by default), and a gateway with one call
sends one request in 10 s. A backend that fails only now and then stays in use; each such request fails over by itself.
The pause doubles while the backend stays ill, as Envoy's ejection time grows with each ejection.
"""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether requests are let through."""

    CLOSED = "closed"
    """All are."""
    HALF_OPEN = "half_open"
    """One is, as a probe; the others wait for what it finds."""
    OPEN = "open"
    """None is, until the pause is over."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long."""

    failures: int = 3
    """In a row. One may be a packet lost and two a pod that moved; the third costs one more caller."""
    first_pause_ms: int = 1_000
    """gRPC's first pause before it connects again has the same length (grpc/grpc doc/connection-backoff.md)."""
    longest_pause_ms: int = 15_000
    """A caller who hears an apology asks again after some 10 s; the pause should not outlive the illness by much."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request. Its outcome is told to the breaker that gave it."""

    era: int
    """The breaker's, when the ticket was given; outcomes of an earlier era say nothing about this one."""
    probe: bool


class Breaker:
    """One backend's breaker. `now_ms` is on any one monotonic clock and never goes back."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._open = False
        self._era = 0
        self._failures = 0
        """In a row, of this era."""
        self._pause_ms = 0
        """The last pause; 0 before the first."""
        self._until_ms = 0.0
        """Where open, the end of the pause."""
        self._closed_at_ms = 0.0
        self._probing = False

    def state(self, now_ms: float) -> BreakerState:
        """What would happen to a request now."""
        if not self._open:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_ms < self._until_ms else BreakerState.HALF_OPEN

    def would_admit(self, now_ms: float) -> bool:
        """Whether `admit` would give a ticket."""
        state = self.state(now_ms)
        return state is BreakerState.CLOSED or (state is BreakerState.HALF_OPEN and not self._probing)

    def admit(self, now_ms: float) -> Ticket | None:
        """A ticket for one request, or None. Each ticket ends in `succeeded`, `failed` or `abandoned`: a probe whose
        end is not told keeps the breaker half open.
        """
        if not self.would_admit(now_ms):
            return None
        self._probing = self._open
        return Ticket(self._era, probe=self._open)

    def succeeded(self, ticket: Ticket, now_ms: float) -> None:
        """The backend did its work."""
        if ticket.era != self._era:
            return
        self._failures = 0
        if ticket.probe:
            self._era += 1
            self._open = self._probing = False
            self._closed_at_ms = now_ms

    def failed(self, ticket: Ticket, now_ms: float) -> None:
        """The backend did not do its work, and the request was not to blame."""
        if ticket.era != self._era:
            return
        self._failures += 1
        if ticket.probe or self._failures >= self._policy.failures:
            self._trip(now_ms)

    def abandoned(self, ticket: Ticket) -> None:
        """The request ended without telling anything: it was cancelled, or was itself at fault."""
        if ticket.era == self._era and ticket.probe:
            self._probing = False

    def _trip(self, now_ms: float) -> None:
        # A backend that fell ill again soon after a probe found it well was not well: the pause goes on growing.
        relapsed = self._open or now_ms - self._closed_at_ms < self._pause_ms
        longer_ms = self._pause_ms * 2 if self._pause_ms and relapsed else self._policy.first_pause_ms
        self._pause_ms = min(longer_ms, self._policy.longest_pause_ms)
        self._until_ms = now_ms + self._pause_ms
        self._open, self._probing = True, False
        self._failures = 0
        self._era += 1

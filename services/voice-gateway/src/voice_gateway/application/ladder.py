"""The backends of one kind in order of preference, each behind its circuit breaker."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from servicekit.logs import get_logger
from voice_gateway.application.ports import Clock, Telemetry
from voice_gateway.domain.breaker import Breaker, BreakerPolicy, BreakerState, Ticket
from voice_gateway.domain.errors import BackendError, BackendKind, BackendTimeout, BackendUnavailable

NOUNS: dict[BackendKind, str] = {
    "asr": "speech recogniser",
    "llm": "language model",
    "tts": "speech synthesiser",
}

BackendT = TypeVar("BackendT")

log = get_logger(__name__)


class Ladder(Generic[BackendT]):
    """The backends of one kind, with their breakers."""

    def __init__(
        self,
        kind: BackendKind,
        backends: Sequence[BackendT],
        *,
        clock: Clock,
        telemetry: Telemetry,
        policy: BreakerPolicy | None = None,
    ) -> None:
        self.kind = kind
        self.backends = tuple(backends)
        self.breakers = tuple(Breaker(policy) for _ in backends)
        self._clock = clock
        self._telemetry = telemetry
        self._states = [BreakerState.CLOSED for _ in backends]
        for position in range(len(self.backends)):
            telemetry.breaker_changed(kind, position, BreakerState.CLOSED)

    def now_ms(self) -> float:
        """The time that breakers go by."""
        return self._clock.ms()

    def attempt(self, position: int) -> "Attempt[BackendT] | None":
        """Leave to send one request to the backend at `position`; None while its breaker does not let it through."""
        ticket = self.breakers[position].admit(self.now_ms())
        self._show(position)
        return None if ticket is None else Attempt(self, position, ticket)

    def spare(self, positions: Sequence[int]) -> bool:
        """Whether a backend at any of `positions` would take a request."""
        now_ms = self.now_ms()
        return any(self.breakers[position].would_admit(now_ms) for position in positions)

    def order(self, avoid: frozenset[int] = frozenset()) -> list[int]:
        """Positions in the order in which they are tried: those in `avoid` come last."""
        return sorted(range(len(self.backends)), key=lambda position: (position in avoid, position))

    def resting(self) -> BackendUnavailable:
        """The error where no breaker lets a request through."""
        return BackendUnavailable(self.kind, f"The {NOUNS[self.kind]} has failed repeatedly and is given a pause.")

    def timed_out(self, what: str) -> BackendTimeout:
        """The error where our own patience ended."""
        return BackendTimeout(self.kind, f"The {NOUNS[self.kind]} did not {what} in time.")

    def gone_on(self, position: int, error: BackendError) -> None:
        """A request that failed at `position` goes on to another backend."""
        self._telemetry.failed_over(self.kind, position, error.reason)
        # A model's or a voice's own words about a failure may hold what it was asked.
        told = {"detail": error.detail}
        shown = told if self.kind == "asr" else {"personal": told}
        log.warning("backend_failed_over", kind=self.kind, position=position, reason=error.reason, **shown)

    def settle(self, position: int, ticket: Ticket, error: BackendError | None, *, told: bool) -> None:
        """Tell a breaker how a request ended; `told` is False where that says nothing about the backend."""
        breaker = self.breakers[position]
        if not told:
            breaker.abandoned(ticket)
        elif error is None:
            breaker.succeeded(ticket, self.now_ms())
        else:
            breaker.failed(ticket, self.now_ms())
        self._show(position)

    def _show(self, position: int) -> None:
        state = self.breakers[position].state(self.now_ms())
        if state is not self._states[position]:
            self._states[position] = state
            self._telemetry.breaker_changed(self.kind, position, state)
            log.warning("backend_breaker", kind=self.kind, position=position, state=state.value)


class Attempt(Generic[BackendT]):
    """One request to one backend. What it is told first counts."""

    def __init__(self, ladder: Ladder[BackendT], position: int, ticket: Ticket) -> None:
        self.position = position
        self.backend = ladder.backends[position]
        self._ladder = ladder
        self._ticket: Ticket | None = ticket
        self._answered = False

    def answered(self) -> None:
        """The first piece of an answer is there: enough for a probe, so that others need not wait for its end."""
        self._answered = True
        if self._ticket is not None and self._ticket.probe:
            self._settle(None, told=True)

    def failed(self, error: BackendError) -> None:
        """The request failed. What can't be helped by trying again is the request's fault, not the backend's."""
        error.position = self.position
        self._settle(error, told=error.retryable)

    def over(self) -> None:
        """The request ended, or is not wanted any more."""
        self._settle(None, told=self._answered)

    def _settle(self, error: BackendError | None, *, told: bool) -> None:
        if self._ticket is not None:
            ticket, self._ticket = self._ticket, None
            self._ladder.settle(self.position, ticket, error, told=told)

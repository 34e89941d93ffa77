"""The circuit breaker: its states, and what no history of requests may bring about."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from voice_gateway.domain.breaker import Breaker, BreakerPolicy, BreakerState, Ticket

POLICY = BreakerPolicy(failures=3, first_pause_ms=1_000, longest_pause_ms=8_000)


def fail(breaker: Breaker, now_ms: float, times: int = 1) -> None:
    for _ in range(times):
        ticket = breaker.admit(now_ms)
        assert ticket is not None
        breaker.failed(ticket, now_ms)


def tripped(now_ms: float = 0) -> Breaker:
    breaker = Breaker(POLICY)
    fail(breaker, now_ms, POLICY.failures)
    return breaker


def test_failures_in_a_row_open_it_and_one_success_between_does_not() -> None:
    breaker = Breaker(POLICY)
    for _ in range(5):
        fail(breaker, 0, POLICY.failures - 1)
        ticket = breaker.admit(0)
        assert ticket is not None
        breaker.succeeded(ticket, 0)
    assert breaker.state(0) is BreakerState.CLOSED
    fail(breaker, 0, POLICY.failures)
    assert breaker.state(0) is BreakerState.OPEN
    assert breaker.admit(999) is None


def test_after_the_pause_one_probe_decides() -> None:
    breaker = tripped()
    assert breaker.state(1_000) is BreakerState.HALF_OPEN
    probe = breaker.admit(1_000)
    assert probe is not None
    assert breaker.admit(1_000) is None
    breaker.succeeded(probe, 1_050)
    assert breaker.state(1_050) is BreakerState.CLOSED
    assert breaker.admit(1_050) is not None


def test_a_cancelled_probe_leaves_room_for_the_next() -> None:
    breaker = tripped()
    probe = breaker.admit(1_000)
    assert probe is not None
    breaker.abandoned(probe)
    assert breaker.state(1_001) is BreakerState.HALF_OPEN
    assert breaker.admit(1_001) is not None


def test_the_pause_doubles_up_to_its_bound_and_starts_anew_after_a_good_while() -> None:
    breaker, now_ms, pauses = tripped(), 0.0, []
    for _ in range(6):
        opened_ms = now_ms
        while not breaker.would_admit(now_ms):
            now_ms += 100
        pauses.append(now_ms - opened_ms)
        fail(breaker, now_ms)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]
    now_ms += 8_000
    probe = breaker.admit(now_ms)
    assert probe is not None
    breaker.succeeded(probe, now_ms)
    fail(breaker, now_ms + 8_000, POLICY.failures)
    assert breaker.state(now_ms + 8_999) is BreakerState.OPEN
    assert breaker.state(now_ms + 9_000) is BreakerState.HALF_OPEN


def test_a_relapse_soon_after_a_probe_makes_the_pause_longer() -> None:
    breaker = tripped()
    probe = breaker.admit(1_000)
    assert probe is not None
    breaker.succeeded(probe, 1_000)
    fail(breaker, 1_500, POLICY.failures)
    assert breaker.state(3_499) is BreakerState.OPEN
    assert breaker.state(3_500) is BreakerState.HALF_OPEN


def test_what_began_before_it_opened_says_nothing_afterwards() -> None:
    breaker = Breaker(POLICY)
    early = [breaker.admit(0) for _ in range(3)]
    fail(breaker, 0, POLICY.failures)
    probe = breaker.admit(1_000)
    assert probe is not None
    for ticket in early:
        assert ticket is not None
        breaker.failed(ticket, 1_000)
        breaker.succeeded(ticket, 1_000)
        breaker.abandoned(ticket)
    assert breaker.admit(1_000) is None, "the probe is still under way"
    breaker.succeeded(probe, 1_000)
    assert breaker.state(1_000) is BreakerState.CLOSED


@given(st.integers(1, 6), st.integers(1, 40))
def test_a_backend_that_is_down_costs_few_requests(failures: int, seconds: int) -> None:
    """One request every 100 ms, all failing: beyond those that open it, one for each pause."""
    breaker = Breaker(BreakerPolicy(failures=failures, first_pause_ms=1_000, longest_pause_ms=4_000))
    sent = 0
    for now_ms in range(0, seconds * 1_000, 100):
        if (ticket := breaker.admit(now_ms)) is not None:
            sent += 1
            breaker.failed(ticket, now_ms)
    assert sent <= failures + 2 + seconds // 4 + 1


class AnyHistory(RuleBasedStateMachine):
    """Requests that begin and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(POLICY)
        self.now_ms = 0.0
        self.under_way: list[Ticket] = []

    @rule(ms=st.integers(0, 5_000))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def begin(self) -> None:
        admitted = self.breaker.would_admit(self.now_ms)
        ticket = self.breaker.admit(self.now_ms)
        assert (ticket is not None) == admitted
        if ticket is not None:
            self.under_way.append(ticket)

    @rule(which=st.integers(0, 99), how=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, which: int, how: str) -> None:
        if not self.under_way:
            return
        ticket = self.under_way.pop(which % len(self.under_way))
        before = self.breaker.state(self.now_ms)
        match how:
            case "succeeded":
                self.breaker.succeeded(ticket, self.now_ms)
            case "failed":
                self.breaker.failed(ticket, self.now_ms)
            case _:
                self.breaker.abandoned(ticket)
        after = self.breaker.state(self.now_ms)
        if how != "failed":
            assert after is before or (before, after) == (BreakerState.HALF_OPEN, BreakerState.CLOSED)
        if (before, after) == (BreakerState.HALF_OPEN, BreakerState.CLOSED):
            assert ticket.probe
            assert how == "succeeded"

    @invariant()
    def no_pause_is_longer_than_the_bound(self) -> None:
        assert self.breaker.state(self.now_ms + POLICY.longest_pause_ms) is not BreakerState.OPEN

    @invariant()
    def it_is_never_stuck(self) -> None:
        """Once every request has ended and the pause is over, one is let through."""
        if not self.under_way:
            assert self.breaker.would_admit(self.now_ms + POLICY.longest_pause_ms)

    @invariant()
    def one_probe_at_a_time(self) -> None:
        if self.breaker.state(self.now_ms) is BreakerState.HALF_OPEN:
            newest = max((ticket.era for ticket in self.under_way), default=-1)
            assert sum(ticket.probe and ticket.era == newest for ticket in self.under_way) <= 1


TestAnyHistory = AnyHistory.TestCase

"""When `voice talk` makes its call again."""

from voice_clients.calling_again import STEADY_S, WAITS_S, CallingAgain
from voice_clients.errors import BadRequestError, ConnectionLostError
from voice_clients.resumption import RESUME_REFUSED

LOST = ConnectionLostError("It broke off.", retryable=True)
REFUSED = BadRequestError("The checkpoint has expired.", reason=RESUME_REFUSED)


def test_waits_grow_and_end() -> None:
    again = CallingAgain()
    assert [again.wait_s(LOST, lasted_s=0.5) for _ in range(6)] == [*WAITS_S, None]


def test_a_call_that_lasted_starts_the_counting_over_even_when_all_attempts_were_used() -> None:
    again = CallingAgain()
    for _ in WAITS_S:
        again.wait_s(LOST, lasted_s=0.5)
    assert again.wait_s(LOST, lasted_s=STEADY_S + 1) == WAITS_S[0]


def test_after_a_refused_resume_it_begins_anew_at_once_and_not_for_ever() -> None:
    again = CallingAgain()
    waits = [again.wait_s(REFUSED, lasted_s=0.5) for _ in range(6)]
    assert waits == [0.0, *WAITS_S[1:], None]


def test_what_another_call_cannot_help_ends_it() -> None:
    assert CallingAgain().wait_s(BadRequestError("no such voice"), lasted_s=99) is None

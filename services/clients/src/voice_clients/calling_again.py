"""When a person's call is made again after it has failed. Pure."""

from voice_clients.errors import CallError
from voice_clients.resumption import RESUME_REFUSED

WAITS_S = (1.0, 2.0, 4.0, 8.0, 8.0)
STEADY_S = 10.0
"""A call that lasted so long starts the counting of attempts over."""


class CallingAgain:
    """Counts attempts in a row. Their number is bounded, whatever they fail by."""

    def __init__(self) -> None:
        self._attempts = 0

    def wait_s(self, error: CallError, *, lasted_s: float) -> float | None:
        """How long to wait after a call that lasted so long and ended with `error`; None: it is not made again.

        After a resume that was refused the gateway is there, and wants the call to begin anew: at once, the first time.
        """
        if lasted_s > STEADY_S:
            self._attempts = 0
        begins_anew = error.reason == RESUME_REFUSED
        if not (begins_anew or error.retryable) or self._attempts >= len(WAITS_S):
            return None
        wait_s = 0.0 if begins_anew and self._attempts == 0 else WAITS_S[self._attempts]
        self._attempts += 1
        return wait_s

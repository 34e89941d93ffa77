"""When audio may be sent so that the caller always has a little, and never much, that is not yet played."""

from dataclasses import dataclass


@dataclass(slots=True)
class PlayoutClock:
    """Playback of one generation, as the sender knows it. Times are in ms on any one clock, lengths in samples.

    The caller is taken to start playing when the first audio is sent and never to pause, except that it cannot play
    what it has not got: an underrun moves the rest. What the client acknowledges replaces the guess.
    """

    sample_rate_hz: int
    lead_ms: int
    sent: int = 0
    acked: int = 0
    _base_ms: float | None = None
    """When sample 0 was, or would have been, played."""
    _acked_ms: float | None = None
    """When the client last said how much it has played."""
    _advanced_ms: float | None = None
    """When that was more than before."""

    def due_ms(self, samples: int, now_ms: float) -> float:
        """When the next `samples` may be sent: when with them no more than the lead is not yet played, or, of a piece
        longer than the lead, when all before it is. Not later than `now_ms` if they may be sent at once.
        """
        if self._base_ms is None:
            return now_ms
        return self._base_ms + self._ms(self.sent) - max(0.0, self.lead_ms - self._ms(samples))

    def on_sent(self, samples: int, now_ms: float) -> None:
        """`samples` were sent."""
        if self._base_ms is None or now_ms > self._base_ms + self._ms(self.sent):
            self._base_ms = now_ms - self._ms(self.sent)
        self.sent += samples

    def on_ack(self, samples: int, now_ms: float) -> None:
        """The client has played `samples` of what was sent."""
        samples = min(samples, self.sent)
        if not self.sent or samples < self.acked:
            return
        if samples > self.acked:
            self._advanced_ms = now_ms
        self.acked, self._acked_ms = samples, now_ms

    def played(self, now_ms: float) -> int:
        """Samples that the caller has heard by now, as well as it can be known."""
        if self._acked_ms is not None:
            since = max(0.0, now_ms - self._acked_ms) if self.acked < self.sent else 0.0
            return min(self.sent, self.acked + int(since * self.sample_rate_hz / 1000))
        if self._base_ms is None:
            return 0
        return max(0, min(self.sent, int((now_ms - self._base_ms) * self.sample_rate_hz / 1000)))

    def end_ms(self, now_ms: float) -> float:
        """When what was sent is played, by the sender's own clock: acknowledgements that stall do not move it."""
        return now_ms if self._base_ms is None else self._base_ms + self._ms(self.sent)

    def unacknowledged_ms(self, now_ms: float) -> float:
        """How long the client has not acknowledged audio that it should have played; 0 when nothing is owed."""
        if self._base_ms is None or self.acked >= self.sent:
            return 0.0
        playable_ms = self._base_ms + self._ms(self.acked)
        owed_since = playable_ms if self._advanced_ms is None else max(self._advanced_ms, playable_ms)
        return max(0.0, now_ms - owed_since)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self.sample_rate_hz

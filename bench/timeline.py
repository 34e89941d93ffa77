"""What one call saw and played, moment by moment."""

from bisect import bisect_left
from dataclasses import dataclass, field

from bench.phone import now_ms
from voice_clients.events import AnswerAudio, CallEvent, Event, EventKind, Playback, PlaybackAction, Transcript


@dataclass(slots=True)
class Timeline:
    """`event` and `played` are given to a Phone. Times are time.monotonic() in ms."""

    events: list[tuple[float, CallEvent]] = field(default_factory=list)
    played_at_ms: list[float] = field(default_factory=list)
    played: list[bytes] = field(default_factory=list)
    """What the loudspeaker played at each of these times, silence left out."""
    _silence: bytes = b""

    def event(self, event: CallEvent) -> None:
        """Note what came."""
        self.events.append((event.at_ns / 1e6, event))

    def play(self, pcm: bytes) -> None:
        """Note what was played."""
        if len(self._silence) != len(pcm):
            self._silence = bytes(len(pcm))
        if pcm != self._silence:
            self.played_at_ms.append(now_ms())
            self.played.append(pcm)

    # ---- questions --------------------------------------------------------------------------------------------------

    def first(self, kind: PlaybackAction | EventKind, since_ms: float, until_ms: float = float("inf")) -> float | None:
        """When a command or event of this kind first came within the span."""
        for at_ms, event in self.events:
            if since_ms <= at_ms < until_ms and _is(event, kind):
                return at_ms
        return None

    def ducked(self, since_ms: float, until_ms: float = float("inf")) -> float | None:
        """When the first command to play more quietly came."""
        for at_ms, event in self.events:
            if since_ms <= at_ms < until_ms and isinstance(event, Playback) and event.gain_db < 0:
                return at_ms
        return None

    def count(self, kind: EventKind, since_ms: float, until_ms: float = float("inf")) -> int:
        """How many events of a kind came within the span."""
        return sum(since_ms <= at_ms < until_ms and _is(event, kind) for at_ms, event in self.events)

    def ends(self) -> list[tuple[float, CallEvent]]:
        """Every END_OF_TURN."""
        return [(at_ms, event) for at_ms, event in self.events if _is(event, EventKind.END_OF_TURN)]

    def audio(self, since_ms: float, until_ms: float = float("inf")) -> list[tuple[float, AnswerAudio]]:
        """The frames of answers that came within the span."""
        return [
            (at_ms, event)
            for at_ms, event in self.events
            if since_ms <= at_ms < until_ms and isinstance(event, AnswerAudio)
        ]

    def transcripts(self, since_ms: float, until_ms: float = float("inf")) -> list[str]:
        """The final transcripts that came within the span."""
        return [
            event.text
            for at_ms, event in self.events
            if since_ms <= at_ms < until_ms and isinstance(event, Transcript) and event.final
        ]

    def heard_between(self, since_ms: float, until_ms: float) -> tuple[list[float], bytes]:
        """When something audible was played within the span, and what."""
        first, last = bisect_left(self.played_at_ms, since_ms), bisect_left(self.played_at_ms, until_ms)
        return self.played_at_ms[first:last], b"".join(self.played[first:last])


def _is(event: CallEvent, kind: PlaybackAction | EventKind) -> bool:
    return (isinstance(event, Playback) and event.action is kind) or (isinstance(event, Event) and event.kind is kind)

"""Where an utterance starts and ends inside a recognition stream, counted in samples.

Riva's own rule: a window of frames and the share of it that must be speech (to start) or silence (to stop).
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from speech_worker.domain.errors import InvalidRequest

# Nobody waits longer than this for an end of utterance; a larger value is a unit mistake.
LONGEST_HISTORY_MS = 20_000


class Edge(Enum):
    STARTED = "started"
    LIKELY_END = "likely end"  # first pass: the transcript so far is probably all, no final yet
    ENDED = "ended"


@dataclass(frozen=True)
class EndpointingRule:
    """Histories in ms, thresholds as shares of the window (0..1).

    Defaults are Riva's, except that the first pass is off, as it is there. `stop_history_eou_ms` 0 turns it off.
    """

    start_history_ms: int = 300
    start_threshold: float = 0.2
    stop_history_ms: int = 800
    stop_threshold: float = 0.98
    stop_history_eou_ms: int = 0
    stop_threshold_eou: float = 0.98

    def __post_init__(self) -> None:
        for name in ("start_history_ms", "stop_history_ms", "stop_history_eou_ms"):
            value = getattr(self, name)
            lowest = 0 if name == "stop_history_eou_ms" else 1
            if not lowest <= value <= LONGEST_HISTORY_MS:
                raise InvalidRequest(
                    f"endpointing_config.{name.removesuffix('_ms')} is {value}: "
                    f"{lowest} to {LONGEST_HISTORY_MS} ms are allowed."
                )
        for name in ("start_threshold", "stop_threshold", "stop_threshold_eou"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise InvalidRequest(f"endpointing_config.{name} is {value:g}: more than 0 and at most 1 is allowed.")
        if self.stop_history_eou_ms >= self.stop_history_ms:
            raise InvalidRequest(
                f"endpointing_config.stop_history_eou is {self.stop_history_eou_ms}: "
                f"it must be less than stop_history ({self.stop_history_ms})."
            )


class _Window:
    """Share of frames of one kind among the last `length` frames."""

    def __init__(self, length: int) -> None:
        self._frames: deque[bool] = deque(maxlen=max(1, length))
        self._hits = 0

    def push(self, hit: bool) -> None:
        frames = self._frames
        if len(frames) == frames.maxlen:
            self._hits -= frames[0]
        frames.append(hit)
        self._hits += hit

    def reaches(self, share: float, *, full: bool) -> bool:
        """Whether the share of the whole window is reached; `full` asks for a window that is filled."""
        length = self._frames.maxlen or 1
        if full and len(self._frames) < length:
            return False
        # The tolerance keeps 0.98 of 50 frames at 49 in spite of binary fractions.
        return self._hits >= share * length - 1e-9

    def clear(self) -> None:
        self._frames.clear()
        self._hits = 0


class Endpointer:
    """Feed it one decision per frame; it tells the edges. Frames all hold `frame_samples` samples."""

    def __init__(
        self, rule: EndpointingRule, *, frame_samples: int, sample_rate_hz: int, longest_utterance_ms: int
    ) -> None:
        def frames(duration_ms: int) -> int:
            return max(1, duration_ms * sample_rate_hz // (1000 * frame_samples))

        self.in_utterance = False
        self._rule = rule
        self._start = _Window(frames(rule.start_history_ms))
        self._stop = _Window(frames(rule.stop_history_ms))
        self._likely = _Window(frames(rule.stop_history_eou_ms)) if rule.stop_history_eou_ms else None
        self._likely_told = False
        self._utterance_frames = 0
        self._longest_frames = frames(longest_utterance_ms)

    def frame(self, *, speech: bool) -> Edge | None:
        """At most one edge per frame. An utterance that never pauses ends at the longest length."""
        if not self.in_utterance:
            self._start.push(speech)
            if not speech or not self._start.reaches(self._rule.start_threshold, full=False):
                return None
            self._begin()
            return Edge.STARTED
        self._utterance_frames += 1
        self._stop.push(not speech)
        if self._stop.reaches(self._rule.stop_threshold, full=True) or self._utterance_frames >= self._longest_frames:
            self.reset()
            return Edge.ENDED
        return self._first_pass(speech)

    def reset(self) -> None:
        """The utterance is over, also when somebody else ended it."""
        self.in_utterance = False
        self._start.clear()

    def _begin(self) -> None:
        self.in_utterance = True
        self._utterance_frames = 0
        self._likely_told = False
        self._stop.clear()
        if self._likely is not None:
            self._likely.clear()

    def _first_pass(self, speech: bool) -> Edge | None:
        if self._likely is None:
            return None
        self._likely.push(not speech)
        if speech:
            self._likely_told = False
        if self._likely_told or not self._likely.reaches(self._rule.stop_threshold_eou, full=True):
            return None
        self._likely_told = True
        return Edge.LIKELY_END

"""What one recognition stream answers: the results inside the one response that each audio message gets."""

from dataclasses import dataclass, replace

from speech_worker.domain.words import Hypothesis, Word, filter_words

# Riva marks the first pass of its two-pass end of utterance so; any other interim carries 0 (not set).
LIKELY_END_STABILITY = 1.0


@dataclass(frozen=True)
class Result:
    """`audio_processed_s` counts from the start of the stream. Words and confidence belong to finals."""

    transcript: str
    is_final: bool
    audio_processed_s: float
    stability: float = 0.0
    confidence: float = 0.0
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class ResultOptions:
    interim_results: bool = False
    word_times: bool = False
    profanity_filter: bool = False
    blocked_words: frozenset[str] = frozenset()


class ResultWriter:
    """Turns hypotheses into results: full interims, a leading space after the first final, finals with words."""

    def __init__(self, options: ResultOptions) -> None:
        self._options = options
        self._finals = 0
        self._last_interim = ""

    @property
    def anything_final(self) -> bool:
        return self._finals > 0

    def interim(self, hypothesis: Hypothesis, *, audio_processed_s: float, likely_end: bool = False) -> Result | None:
        """None when interims are off or nothing changed. An interim replaces the one before it."""
        text = self._shown(hypothesis.text)
        if not self._options.interim_results or not text or (text == self._last_interim and not likely_end):
            return None
        self._last_interim = text
        stability = LIKELY_END_STABILITY if likely_end else 0.0
        return Result(text, False, audio_processed_s, stability=stability)

    def final(self, hypothesis: Hypothesis, *, audio_processed_s: float) -> Result:
        """The end of an utterance. An empty one is a result too, because a client may wait for it."""
        words = tuple(replace(word, text=self._filtered(word.text)) for word in hypothesis.words)
        result = Result(
            self._shown(hypothesis.text),
            True,
            audio_processed_s,
            confidence=hypothesis.confidence,
            words=words if self._options.word_times else (),
        )
        self._finals += 1
        self._last_interim = ""
        return result

    def _shown(self, text: str) -> str:
        text = self._filtered(text.strip())
        return f" {text}" if text and self._finals else text

    def _filtered(self, text: str) -> str:
        return filter_words(text, self._options.blocked_words) if self._options.profanity_filter else text

"""Which words of an answer the caller has heard, from the number of samples that were played."""

from dataclasses import dataclass

TYPICAL_MS_PER_CHARACTER = 65
"""Length of a phrase whose synthesis is not complete: FastPitch and Magpie speak English at 14 to 16 characters/s."""


@dataclass(frozen=True, slots=True)
class SpokenPhrase:
    """One phrase of an answer and its place in the answer's audio."""

    text: str
    samples: int | None = None
    """Length of its audio; None until it is known, 0 where the voice gave no sound."""
    word_ends: tuple[int, ...] = ()
    """Where each spoken word ends, in samples from the phrase's start."""


@dataclass(frozen=True, slots=True)
class HeardLedger:
    """The phrases of one answer, in order."""

    sample_rate_hz: int
    phrases: tuple[SpokenPhrase, ...] = ()

    def with_phrase(self, index: int, text: str) -> "HeardLedger":
        """Add phrase `index`, which must be the next. Raises ValueError otherwise."""
        if index != len(self.phrases):
            raise ValueError(f"phrase {index} does not follow {len(self.phrases) - 1}")
        return HeardLedger(self.sample_rate_hz, (*self.phrases, SpokenPhrase(text)))

    def with_audio(self, index: int, samples: int, word_ends: tuple[int, ...]) -> "HeardLedger":
        """Tell the length of phrase `index`."""
        known = SpokenPhrase(self.phrases[index].text, samples, word_ends)
        return HeardLedger(self.sample_rate_hz, (*self.phrases[:index], known, *self.phrases[index + 1 :]))

    def whole_text(self) -> str:
        """All phrases."""
        return " ".join(phrase.text for phrase in self.phrases)

    def heard_text(self, samples: int) -> str:
        """The words that had ended by `samples` samples of playback."""
        heard: list[str] = []
        remaining = samples
        for phrase in self.phrases:
            if phrase.samples == 0:
                continue
            if phrase.samples is None or remaining < phrase.samples:
                heard.append(_heard_part(phrase, remaining, phrase.samples or self._typical_length(phrase)))
                break
            heard.append(phrase.text)
            remaining -= phrase.samples
        return " ".join(part for part in heard if part)

    def first_unheard(self, samples: int) -> tuple[int, int]:
        """The first phrase that had not ended by `samples` samples of playback, and where it begins. A phrase without
        sound has ended where it begins.
        """
        start = 0
        for index, phrase in enumerate(self.phrases):
            if phrase.samples is None or start + phrase.samples > samples:
                return index, start
            start += phrase.samples
        return len(self.phrases), start

    def word_boundary(self, samples: int) -> int:
        """Where the word that plays at `samples` begins: there a paused answer goes on. Never after `samples`."""
        start = 0
        for phrase in self.phrases:
            if phrase.samples == 0:
                continue
            length = phrase.samples if phrase.samples is not None else self._typical_length(phrase)
            if phrase.samples is None or samples < start + length:
                return start + max((end for end in _word_ends(phrase, length) if start + end <= samples), default=0)
            start += length
        return samples

    def _typical_length(self, phrase: SpokenPhrase) -> int:
        return max(1, len(phrase.text) * TYPICAL_MS_PER_CHARACTER * self.sample_rate_hz // 1000)


def _heard_part(phrase: SpokenPhrase, samples: int, length: int) -> str:
    """The words of `phrase` that end within `samples`, by word timings where the server gave them."""
    words = phrase.text.split()
    if phrase.word_ends:
        ended = sum(end <= samples for end in phrase.word_ends)
        # The server may speak "7" as one word and "1998" as three: then its count is only a proportion.
        count = ended if len(phrase.word_ends) == len(words) else ended * len(words) // len(phrase.word_ends)
        return " ".join(words[:count])
    total = sum(len(word) + 1 for word in words)
    position, count = 0, 0
    for word in words:
        position += len(word) + 1
        if position * length > samples * total:
            break
        count += 1
    return " ".join(words[:count])


def _word_ends(phrase: SpokenPhrase, length: int) -> tuple[int, ...]:
    """Where the words of `phrase` end, by proportion where the server did not say."""
    if phrase.word_ends:
        return phrase.word_ends
    words = phrase.text.split()
    total = sum(len(word) + 1 for word in words)
    ends, position = [], 0
    for word in words:
        position += len(word) + 1
        ends.append(position * length // total)
    return tuple(ends)

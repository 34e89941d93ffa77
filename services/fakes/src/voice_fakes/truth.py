"""What a caller really heard of the fake voice: from the sound that was played, and nothing that a gateway says."""

from collections.abc import Iterable

from voice_fakes.adapters.marks import REQUESTS, read_marks
from voice_fakes.log import Event


class SpokenWords:
    """Knows where each word of each text ends, from the `words` events of a log. Needs `tts.marks: true`."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._words: dict[int, tuple[tuple[str, int, int], ...]] = {}
        self._samples: dict[int, int] = {}
        for event in events:
            if event.source == "tts" and event.name == "words":
                self._words[event.request % REQUESTS] = event.fields["words"]
                self._samples[event.request % REQUESTS] = event.fields["samples"]

    def ended(self, played: bytes) -> list[str]:
        """The words that had ended within `played`: s16le at the rate of synthesis, without silence between answers.

        In the order of their texts; a word that was played twice is there once. Audio between two marks that cannot be
        read (played more quietly, or the last samples of a text) counts as going on.
        """
        reached: dict[int, int] = {}
        marks = read_marks(played)
        for index, mark in enumerate(marks):
            until = marks[index + 1].at if index + 1 < len(marks) else len(played) // 2
            end = min(self._samples.get(mark.request, 0), mark.first_sample + until - mark.at)
            reached[mark.request] = max(reached.get(mark.request, 0), end)
        return [
            word
            for request, samples in reached.items()
            for word, _, end in self._words.get(request, ())
            if end <= samples
        ]

"""Placeholder until the real cleaner lands."""


class SpeechCleaner:
    """Stateful over the phrases of one answer."""

    def clean(self, phrase: str) -> str:
        """The phrase as it can be spoken."""
        return phrase.strip()

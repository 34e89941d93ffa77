"""Echo guard on text."""

from voice_gateway.domain.languages import Language

ECHO_THRESHOLD = 0.6


def similarity(heard: str, played: str, language: Language) -> float:
    """How much of what was heard is in what was just played, 0 to 1."""
    raise NotImplementedError

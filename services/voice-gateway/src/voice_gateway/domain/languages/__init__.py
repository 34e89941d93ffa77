"""Tables of the languages, chosen by the primary subtag of a BCP 47 tag: "en-US" and "en_GB" are "en"."""

from voice_gateway.domain.languages.de import GERMAN
from voice_gateway.domain.languages.en import ENGLISH
from voice_gateway.domain.languages.es import SPANISH
from voice_gateway.domain.languages.fr import FRENCH
from voice_gateway.domain.languages.hi import HINDI
from voice_gateway.domain.languages.it import ITALIAN
from voice_gateway.domain.languages.pt import PORTUGUESE
from voice_gateway.domain.languages.tables import EndingWords, EntityWords, Language, PhraseLists, QuestionWords

NEUTRAL = Language(code="")
"""For languages without tables: marks and written digits decide, words do not."""

LANGUAGES = {language.code: language for language in (ENGLISH, SPANISH, GERMAN, FRENCH, ITALIAN, PORTUGUESE, HINDI)}


def language_of(tag: str) -> Language:
    """The tables for a language tag; the neutral ones where there are none. Never raises."""
    return LANGUAGES.get(tag.replace("_", "-").partition("-")[0].strip().lower(), NEUTRAL)


__all__ = [
    "LANGUAGES",
    "NEUTRAL",
    "EndingWords",
    "EntityWords",
    "Language",
    "PhraseLists",
    "QuestionWords",
    "language_of",
]

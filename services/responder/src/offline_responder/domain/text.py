"""Words out of what a recogniser or a keyboard produced: lower case, no punctuation, contractions opened."""

import re

_CONTRACTIONS = {
    "what's": "what is",
    "whats": "what is",
    "who's": "who is",
    "where's": "where is",
    "when's": "when is",
    "how's": "how is",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "name's": "name is",
    "let's": "let us",
    "i'm": "i am",
    "im": "i am",
    "you're": "you are",
    "i've": "i have",
    "i'd": "i would",
    "i'll": "i will",
    "don't": "do not",
    "can't": "can not",
    "cannot": "can not",
    "didn't": "did not",
    "doesn't": "does not",
    "isn't": "is not",
    "per cent": "percent",
    "storey": "story",
    "okay": "ok",
    "goodbye": "good bye",
    "wanna": "want to",
    "gonna": "going to",
    "today's": "today",
}
_SYMBOLS = {
    "+": " plus ",
    "*": " times ",
    "×": " times ",
    "÷": " divided by ",
    "/": " divided by ",
    "%": " percent ",
    "^": " to the power of ",
    "°": " degrees ",
    "=": " ",
}
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*")


def words_of(text: str) -> tuple[str, ...]:
    """Normalised words of an utterance; numbers in digits stay one word, written operators become words."""
    lowered = text.lower().replace("\u2019", "'")
    lowered = re.sub(r"(?<=\d),(?=\d{3}\b)", "", lowered)
    lowered = re.sub(r"(?<=\d)\s*x\s*(?=\d)", " times ", lowered)
    lowered = re.sub(
        r"(?<=\d)\s*[-\u2212]\s*(?=\d)|(?<=\s)[-\u2212](?=\s)|(?:^|(?<=\s))[-\u2212](?=\d)", " minus ", lowered
    )
    for symbol, word in _SYMBOLS.items():
        lowered = lowered.replace(symbol, word)
    opened: list[str] = []
    for token in _TOKEN.findall(lowered):
        opened.extend(_CONTRACTIONS.get(token, token.replace("'", "")).split())
    return tuple(" ".join(opened).replace("per cent", "percent").split())


def has(words: tuple[str, ...], *phrases: str) -> bool:
    """Whether any of the phrases occurs as whole words in a row."""
    line = f" {' '.join(words)} "
    return any(f" {phrase} " in line for phrase in phrases)


def has_all(words: tuple[str, ...], *wanted: str) -> bool:
    """Whether every wanted word occurs, in any order: lenient where a recogniser loses the small words."""
    return all(word in words for word in wanted)


def after(words: tuple[str, ...], *phrases: str) -> tuple[str, ...] | None:
    """The words behind the first phrase that occurs, or None."""
    for phrase in phrases:
        wanted = tuple(phrase.split())
        for start in range(len(words) - len(wanted) + 1):
            if words[start : start + len(wanted)] == wanted:
                return words[start + len(wanted) :]
    return None


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]

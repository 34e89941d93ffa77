"""The text of a synthesis request as an engine can speak it."""

import html
import re

from speech_worker.domain.errors import InvalidRequest

_SPEAK = re.compile(r"^\s*<speak(\s[^>]*)?>(?P<body>.*)</speak>\s*$", re.DOTALL)
_SUB = re.compile(r"<sub\s[^>]*?alias\s*=\s*(\"(?P<a>[^\"]*)\"|'(?P<b>[^']*)')[^>]*>.*?</sub>", re.DOTALL)
_BREAK = re.compile(r"<break\b[^>]*/?>")
_TAG = re.compile(r"<[^>]*>")
_SPACES = re.compile(r"\s+")


def speakable(text: str, *, longest: int) -> str:
    """Plain text. SSML counts as such only inside a <speak> root, as in Riva; <sub> and <break> are honoured, other
    tags are dropped. Raises InvalidRequest for no text or more than `longest` characters."""
    if not text.strip():
        raise InvalidRequest("text is empty: say what should be spoken.")
    if len(text) > longest:
        raise InvalidRequest(f"text has {len(text)} characters: at most {longest} are allowed in one request.")
    match = _SPEAK.match(text)
    if match:
        body = _SUB.sub(lambda sub: sub.group("a") or sub.group("b") or "", match.group("body"))
        text = html.unescape(_TAG.sub(" ", _BREAK.sub(", ", body)))
    return _SPACES.sub(" ", "".join(c if c.isprintable() else " " for c in text)).strip()

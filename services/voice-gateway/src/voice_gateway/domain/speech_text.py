"""What of an answer's text can be spoken.

Language models write for screens: markdown, code, tables, links, emoji. Synthesisers read such characters aloud or
stumble over them, and Riva takes "<speak>" for SSML; NVIDIA's guide to its voice agents says to strip `*`, `{}` and
tags. Text comes phrase by phrase, so that what spans phrases is remembered from one to the next.
"""

import re
from dataclasses import dataclass

CODE_OMITTED = "Code omitted."

ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "#39": "'", "nbsp": " "}

PASSES = 10
"""Removing one mark can complete another. Each pass after the first only removes, and texts settle in two or three."""

_EMOJI = (
    "\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d"
)
_FENCE = re.compile(r"```+|~~~+")
_THINK = re.compile(r"<(/?)\s*(?:think|thinking|reasoning)\s*>", re.IGNORECASE)
_ENTITY = re.compile(r"&(amp|lt|gt|quot|apos|#39|nbsp);")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]*|[^<>\s@]+@[^<>\s]+)>", re.IGNORECASE)
_TAG = re.compile(r"<!--.*?(?:-->|$)|</?[a-zA-Z][^<>]*>|<[!?][^<>]*>|</?[a-zA-Z][\w:-]*\s+[\w:-]+=[^<>]*$", re.DOTALL)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*(?:\([^()]*\)[^()]*)*\)")
_LINK_END = re.compile(r"\]\([^()]*\)")
_OPEN_TARGET = re.compile(r"\]\([^()\s]*$")
_REFERENCE = re.compile(r"\[([^\[\]]*)\]\[[^\[\]]*\]")
_FOOTNOTE = re.compile(r"\[\^[^\[\]]*\]:?|(?<=\w)\[\d+(?:\s*,\s*\d+)*\]")
_URL = re.compile(r"(?:https?:|(?<!\S)(?=//\w))//[^\s<>\"'`)\]}|]+|\bwww\.[^\s<>\"'`)\]}|]+", re.IGNORECASE)
_EMAIL = re.compile(r"(?:mailto:)?\b([\w.+-]+)@((?:[\w-]+\.)+[a-z]{2,})\b", re.IGNORECASE)
_DOMAIN = re.compile(
    r"\b((?:[a-z0-9-]+\.)+(?:com|org|net|io|ai|dev|gov|edu|info))\b(?:/[^\s<>\"'`)\]}|]*)?", re.IGNORECASE
)
_HOST = re.compile(r"(?:www\.)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?=[:/?#]|$)", re.IGNORECASE)
_SCHEME_END = re.compile(r"\s*\bhttps?:$", re.IGNORECASE)
_INLINE_CODE = re.compile(r"`+([^`]+)`+")
_SPEAKABLE_CODE = re.compile(r"[\w .+/-]{1,40}")
_TABLE_RULE = re.compile(r"^[\s|:+=_*~-]*$")
_LINE_START = re.compile(r"^(?:\s*(?:>|#{1,6}(?=\s|$)|[-+*•·‣▪–](?=\s)|\[[ xX]\](?=\s)))+\s*")
_CELL = re.compile(r"\s*\|+\s*")
_PICTURE = re.compile(f"[{_EMOJI}](?:[{_EMOJI}\ufe0e\ufe0f\u200d\U0001f3fb-\U0001f3ff])*")
# Surrogates by themselves are no text: they cannot be sent at all.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2028-\u202e\u2060-\u206f\ufe0e\ufe0f\u20e3\ufeff\ufffc\ufffd\ud800-\udfff\U000e0000-\U000e007f©®™]"
)
_MARKUP = re.compile(r"[*`~^|<>{}\[\]\\#]+")
_UNDERSCORES = re.compile(r"_+")
_EMPTY_PAIR = re.compile(r"\(\s*\)|\"\s*\"|“\s*”")
_SPACE_BEFORE_MARK = re.compile(r"\s+([,.;:!?)])(?=\s|$)")
_SEVERAL_COMMAS = re.compile(r",(?:\s*,)+")
_LEADING_MARKS = ",; "

_ENGLISH = (
    (re.compile(r"\bC#"), "C sharp"),
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"(?<=\d)\s*%"), " percent"),
    (re.compile(r"\s*&+\s*"), " and "),
    (re.compile(r"(?<=\d)\s*°\s*C\b"), " degrees Celsius"),
    (re.compile(r"(?<=\d)\s*°\s*F\b"), " degrees Fahrenheit"),
    (re.compile(r"(?<=\d)\s*°"), " degrees"),
    (re.compile(r"(?<=\d)\s*[*×]\s*(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s*÷\s*(?=\d)"), " divided by "),
    (re.compile(r"(?<=[\w)])\s+\+\s+(?=[\w(])"), " plus "),
    (re.compile(r"(?<=\w)\s*\^\s*(?=\d)"), " to the power of "),
    (re.compile(r"\s*(?:<=|≤)\s*"), " at most "),
    (re.compile(r"\s*(?:>=|≥)\s*"), " at least "),
    (re.compile(r"\s*(?:!=|≠)\s*"), " is not "),
    (re.compile(r"(?<=[\w)])\s+(?:=+>|-+>|→)\s+(?=\w)"), " to "),
    (re.compile(r"(?<=\w)\s+<\s+(?=\w)"), " less than "),
    (re.compile(r"(?<=\w)\s+>\s+(?=\w)"), " greater than "),
    (re.compile(r"(?<=[\w)])\s*=+\s*(?=[\w(-])"), " equals "),
    (re.compile(r"~(?=\d)"), "about "),
)
"""Signs that are words in English. Other languages keep their signs: their synthesisers know them best."""


@dataclass(slots=True)
class SpeechCleaner:
    """Stateful over the phrases of one answer."""

    language_code: str = "en-US"
    _in_code: bool = False
    _in_thought: bool = False
    _in_link: bool = False
    _announced: bool = False

    def clean(self, phrase: str) -> str:
        """The phrase as it can be spoken, "" where nothing of it can. Never raises, and leaves cleaned text as it is.

        Code in fences and thoughts in <think> are left out, also over several phrases; code is mentioned once.
        """
        text = self._without_code(self._without_thoughts(phrase))
        text = self._joined(text)
        for _ in range(PASSES):
            before, text = text, self._without_scheme(self._pass(text))
            if text == before:
                break
        return text if any(character.isalnum() for character in text) else ""

    # ---- what spans phrases -----------------------------------------------------------------------------------------

    def _without_thoughts(self, text: str) -> str:
        """Reasoning models think aloud between tags before they answer."""
        kept, at = [], 0
        for mark in _THINK.finditer(text):
            if not self._in_thought:
                kept.append(text[at : mark.start()])
            self._in_thought, at = not mark[1], mark.end()
        if not self._in_thought:
            kept.append(text[at:])
        return " ".join(kept)

    def _without_code(self, text: str) -> str:
        kept, at = [], 0
        for fence in _FENCE.finditer(text):
            if not self._in_code:
                kept.append(text[at : fence.start()])
                if not self._announced and self._english:
                    kept.append(CODE_OMITTED)
                self._announced = True
            self._in_code, at = not self._in_code, fence.end()
        if not self._in_code:
            kept.append(text[at:])
        return " ".join(kept)

    def _joined(self, text: str) -> str:
        """Mend links and addresses that were cut between phrases."""
        if self._in_link:
            self._in_link = False
            head, closed, rest = text.partition(")")
            if closed and not any(space in head.strip() for space in " \t\n"):
                text = rest
            else:
                # The bracket is gone with the end of the other phrase; what looks like an address is dropped.
                first, _, rest = text.strip().partition(" ")
                text = rest if any(sign in first for sign in "/=%.") else text
        if _OPEN_TARGET.search(text):
            self._in_link = True
            text = _OPEN_TARGET.sub("", text)
        return text

    @staticmethod
    def _without_scheme(text: str) -> str:
        """What comes after "https:" is in the next phrase, where "//" at the beginning is enough to know it."""
        while (shorter := _SCHEME_END.sub("", text)) != text:
            text = shorter
        return text

    # ---- one phrase -------------------------------------------------------------------------------------------------

    @property
    def _english(self) -> bool:
        return self.language_code.lower().startswith("en")

    def _pass(self, text: str) -> str:
        text = _ENTITY.sub(lambda entity: ENTITIES[entity[1]], text)
        text = _TAG.sub(" ", _AUTOLINK.sub(r"\1", text))
        text = _LINK_END.sub(" ", _LINK.sub(r"\1", text))
        text = _FOOTNOTE.sub("", _REFERENCE.sub(r"\1", text))
        text = self._addresses(text)
        text = _INLINE_CODE.sub(_inline_code, text)
        text = " ".join(_line(line) for line in text.splitlines())
        text = _INVISIBLE.sub("", _PICTURE.sub(" ", text))
        if self._english:
            for sign, word in _ENGLISH:
                text = sign.sub(word, text)
        text = _UNDERSCORES.sub(" ", _MARKUP.sub(" ", text))
        text = _EMPTY_PAIR.sub(" ", text)
        text = _SPACE_BEFORE_MARK.sub(r"\1", text)
        text = _SEVERAL_COMMAS.sub(",", text)
        return _line(" ".join(text.split())).lstrip(_LEADING_MARKS)

    def _addresses(self, text: str) -> str:
        text = _URL.sub(self._url, text)
        text = _EMAIL.sub(self._email, text)
        return _DOMAIN.sub(lambda domain: self._spoken(domain[1]), text) if self._english else text

    def _url(self, url: re.Match[str]) -> str:
        """The host is what a listener can use; of the rest only the sentence's own marks are kept."""
        whole = url[0]
        tail = whole[len(whole.rstrip(".,;:!?।")) :]
        host = _HOST.match(whole.removesuffix(tail).split("//", 1)[-1])
        if host is None:
            return f" a link{tail} " if self._english else tail
        return f" {self._spoken(host[1])}{tail} "

    def _email(self, address: re.Match[str]) -> str:
        if not self._english:
            return address[0].removeprefix("mailto:")
        return f"{self._spoken(address[1])} at {self._spoken(address[2])}"

    def _spoken(self, name: str) -> str:
        return re.sub(r"\.+", " dot ", name).strip() if self._english else name


def _inline_code(code: re.Match[str]) -> str:
    """A name in a sentence is read; an expression is not."""
    return code[1] if _SPEAKABLE_CODE.fullmatch(code[1].strip()) else " "


def _line(line: str) -> str:
    """One line without what marks it as heading, quotation, item or row; "" for rules."""
    if _TABLE_RULE.match(line):
        return ""
    line = _LINE_START.sub("", line)
    return _CELL.sub(", ", line.strip(" |")) if "|" in line else line

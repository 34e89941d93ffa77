"""Numbers as people say them, read and spoken (British style: "one hundred and five")."""

from fractions import Fraction

UNITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = (("trillion", 10**12), ("billion", 10**9), ("million", 10**6), ("thousand", 10**3))
SPEAKABLE_LIMIT = 10**15

_UNIT_VALUE = {word: value for value, word in enumerate(UNITS)} | {"oh": 0, "nought": 0, "nil": 0, "dozen": 12}
_TEN_VALUE = {word: 10 * value for value, word in enumerate(TENS) if word} | {"fourty": 40, "ninty": 90}
_SCALE_VALUE = dict(SCALES)
# What recognisers write for a number where only a number fits.
_HOMOPHONES = {
    "won": 1,
    "to": 2,
    "too": 2,
    "tree": 3,
    "for": 4,
    "fore": 4,
    "sex": 6,
    "sicks": 6,
    "ate": 8,
    "nein": 9,
    "tin": 10,
}
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}

Words = tuple[str, ...]
Found = tuple[Fraction, int]
"""A value and the index behind its last word."""


def parse_number(words: Words, start: int, *, allow_and: bool = True) -> Found | None:
    """The longest number that begins at `start`. `allow_and` False reads "a hundred and five" as 100."""
    if start >= len(words):
        return None
    if words[start] in {"minus", "negative"}:
        found = parse_number(words, start + 1, allow_and=allow_and)
        return None if found is None else (-found[0], found[1])
    found = _literal(words, start) or _cardinal(words, start, allow_and=allow_and) or _homophone(words, start)
    if found is None:
        return None
    value, end = found
    if words[end : end + 1] == ("point",):
        return _decimals(words, end + 1, value) or found
    if allow_and and words[end : end + 3] == ("and", "a", "half"):
        return value + Fraction(1, 2), end + 3
    return value, end


def _literal(words: Words, start: int) -> Found | None:
    word = words[start]
    if not word[0].isdigit() or not word.isascii():
        return None
    scale = _SCALE_VALUE.get(words[start + 1]) if start + 1 < len(words) else None
    return (Fraction(word) * scale, start + 2) if scale else (Fraction(word), start + 1)


def _homophone(words: Words, start: int) -> Found | None:
    value = _HOMOPHONES.get(words[start])
    return None if value is None else (Fraction(value), start + 1)


def _decimals(words: Words, start: int, whole: Fraction) -> Found | None:
    digits = ""
    at = start
    while at < len(words):
        value = _UNIT_VALUE.get(words[at])
        if value is not None and value < 10:
            digits += str(value)
        elif words[at].isdigit() and words[at].isascii():
            digits += words[at]
        elif not digits and words[at] in _TEN_VALUE:  # "three point twenty five"
            below = _below_hundred(words, at)
            assert below is not None
            digits, at = str(below[0]), below[1] - 1
        else:
            break
        at += 1
    return (whole + Fraction(int(digits), 10 ** len(digits)), at) if digits else None


def _below_hundred(words: Words, start: int) -> tuple[int, int] | None:
    if start >= len(words):
        return None
    tens = _TEN_VALUE.get(words[start])
    if tens is None:
        unit = _UNIT_VALUE.get(words[start])
        return None if unit is None else (unit, start + 1)
    unit = _UNIT_VALUE.get(words[start + 1]) if start + 1 < len(words) else None
    return (tens + unit, start + 2) if unit is not None and 0 < unit < 10 else (tens, start + 1)


def _below_thousand(words: Words, start: int, *, allow_and: bool) -> tuple[int, int] | None:
    if words[start : start + 1] in {("a",), ("an",)} and words[start + 1 : start + 2] in {("hundred",), ("dozen",)}:
        first: tuple[int, int] | None = (12, start + 2) if words[start + 1] == "dozen" else (1, start + 1)
    elif words[start : start + 1] == ("hundred",):
        first = (1, start)
    else:
        first = _below_hundred(words, start)
    if first is None or words[first[1] : first[1] + 1] != ("hundred",):
        return first
    value, at = first[0] * 100, first[1] + 1
    rest = _joined(words, at, allow_and=allow_and)
    return (value + rest[0], rest[1]) if rest and 0 < rest[0] < 100 else (value, at)


def _joined(words: Words, at: int, *, allow_and: bool) -> tuple[int, int] | None:
    """A tail below one hundred, behind an optional "and"."""
    if words[at : at + 1] == ("and",):
        return _below_hundred(words, at + 1) if allow_and else None
    return _below_hundred(words, at)


def _cardinal(words: Words, start: int, *, allow_and: bool) -> Found | None:
    total, at, ceiling = 0, start, SPEAKABLE_LIMIT
    found_any = False
    while at < len(words):
        with_and = found_any and allow_and and words[at] == "and"
        begin = at + 1 if with_and else at
        follows = words[begin + 1 : begin + 2]
        if words[begin : begin + 1] in {("a",), ("an",)} and follows and follows[0] in _SCALE_VALUE:
            group: tuple[int, int] | None = (1, begin + 1)
        else:
            group = _below_thousand(words, begin, allow_and=allow_and)
        if group is None:
            break
        value, end = group
        scale = _SCALE_VALUE.get(words[end]) if end < len(words) else None
        if scale is not None and scale < ceiling:
            total, at, ceiling, found_any = total + value * scale, end + 1, scale, True
            continue
        if not found_any or (0 < value < ceiling):
            total, at, found_any = total + value, end, True
        break
    return (Fraction(total), at) if found_any else None


def say_integer(value: int) -> str:
    """Words for an integer; digits from 10**15 on."""
    if value < 0:
        return f"minus {say_integer(-value)}"
    if value >= SPEAKABLE_LIMIT:
        return str(value)
    parts: list[str] = []
    for name, scale in SCALES:
        count, value = divmod(value, scale)
        if count:
            parts.append(f"{_say_below_thousand(count)} {name}")
    if value or not parts:
        joined = "and " if parts and value < 100 else ""
        parts.append(joined + _say_below_thousand(value))
    return " ".join(parts)


def _say_below_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    if hundreds:
        return f"{UNITS[hundreds]} hundred" + (f" and {_say_below_hundred(rest)}" if rest else "")
    return _say_below_hundred(rest)


def _say_below_hundred(value: int) -> str:
    if value < 20:
        return UNITS[value]
    tens, unit = divmod(value, 10)
    return TENS[tens] + (f" {UNITS[unit]}" if unit else "")


def say_number(value: Fraction, *, places: int = 3) -> tuple[str, bool]:
    """Words for a fraction as a decimal of at most `places` digits, and whether that is exact."""
    scaled = round(value * 10**places)
    exact = Fraction(scaled, 10**places) == value
    whole, rest = divmod(abs(scaled), 10**places)
    digits = str(rest).rjust(places, "0").rstrip("0")
    spoken = say_integer(whole)
    if digits:
        spoken += " point " + " ".join(UNITS[int(digit)] for digit in digits)
    return (f"minus {spoken}" if scaled < 0 else spoken), exact


def say_ordinal(value: int) -> str:
    """ "first" to "ninety ninth", for days of a month."""
    *head, last = _say_below_hundred(value).split()
    ordinal = last[:-1] + "ieth" if last.endswith("ty") else _ORDINALS.get(last, last + "th")
    return " ".join([*head, ordinal])


def say_year(value: int) -> str:
    """Years as people say them: "nineteen eighty four", "two thousand and five", "twenty twenty six"."""
    century, rest = divmod(value, 100)
    if not 1000 <= value < 10000 or (century % 10 == 0 and rest < 10):
        return say_integer(value)
    if rest == 0:
        return f"{_say_below_hundred(century)} hundred"
    return f"{_say_below_hundred(century)} {'oh ' if rest < 10 else ''}{_say_below_hundred(rest)}"

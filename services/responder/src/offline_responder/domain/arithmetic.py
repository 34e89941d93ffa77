"""Sums found in an utterance: "what is seven times six", "half of nine", "add one hundred and five"."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from offline_responder.domain.numbers import Words, parse_number, say_number

MAX_POWER = 64
MAX_RESULT = 10**30

_PLUS_MINUS = {
    ("plus",): "plus",
    ("added", "to"): "plus",
    ("minus",): "minus",
    ("take", "away"): "minus",
    ("less",): "minus",
}
_TIMES_OVER = {
    ("multiplied", "by"): "times",
    ("divided", "by"): "divided by",
    ("times",): "times",
    ("time",): "times",
    ("over",): "divided by",
    ("x",): "times",
}
_PART_OF = {
    "half": Fraction(1, 2),
    "third": Fraction(1, 3),
    "quarter": Fraction(1, 4),
    "fifth": Fraction(1, 5),
    "tenth": Fraction(1, 10),
    "double": Fraction(2),
    "twice": Fraction(2),
    "triple": Fraction(3),
}
# verb, the words that may part its operands, operator, operands said in reverse
_VERBS = (
    (("add",), {"and", "to", "plus"}, "plus", False),
    (("sum", "of"), {"and"}, "plus", False),
    (("subtract",), {"from"}, "minus", True),
    (("take",), {"from"}, "minus", True),
    (("difference", "between"), {"and"}, "minus", False),
    (("multiply",), {"by", "and", "with", "times"}, "times", False),
    (("product", "of"), {"and"}, "times", False),
    (("divide",), {"by"}, "divided by", False),
)


class CannotCalculateError(ArithmeticError):
    """A sum that has no answer or one too large to say; the text says which, ready to speak."""


@dataclass(frozen=True)
class Sum:
    spoken: str
    value: Fraction
    rounded: bool = False


def find_sum(words: Words) -> Sum | None:
    """The first sum with at least one operation in the words, or None. Raises CannotCalculateError."""
    for start in range(len(words)):
        for allow_and in (True, False):
            parser = _Parser(words, start, allow_and=allow_and)
            found = parser.verb() or parser.expression()
            if found is not None and parser.operations:
                return found
    return None


def answer_sum(words: Words) -> str | None:
    """A sentence that answers the sum in the words, or None where there is none."""
    try:
        found = find_sum(words)
    except CannotCalculateError as error:
        return str(error)
    if found is None:
        return None
    spoken, exact = say_number(found.value)
    return f"{found.spoken[:1].upper()}{found.spoken[1:]} is {'' if exact and not found.rounded else 'about '}{spoken}."


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_POWER or (base == 0 and exponent < 0):
        raise CannotCalculateError("I can only raise to small whole powers.")
    return base**exponent.numerator


def _apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator == "divided by" and right == 0:
        raise CannotCalculateError("Nothing can be divided by zero.")
    table: dict[str, Callable[[], Fraction]] = {
        "plus": lambda: left + right,
        "minus": lambda: left - right,
        "times": lambda: left * right,
        "divided by": lambda: left / right,
        "to the power of": lambda: _power(left, right),
    }
    result = table[operator]()
    if abs(result) > MAX_RESULT:
        raise CannotCalculateError("That result is too large for me to say.")
    return result


def _square_root(value: Fraction) -> tuple[Fraction, bool]:
    if value < 0:
        raise CannotCalculateError("A negative number has no real square root.")
    scale = 10**6
    root = Fraction(isqrt(value.numerator * scale * scale // value.denominator), scale)
    return root, root * root != value


class _Parser:
    """Recursive descent over words: expression > term > power > factor. Times binds stronger than plus."""

    def __init__(self, words: Words, at: int, *, allow_and: bool) -> None:
        self.words = words
        self.at = at
        self.allow_and = allow_and
        self.operations = 0

    def _take(self, *wanted: str) -> bool:
        if self.words[self.at : self.at + len(wanted)] != wanted:
            return False
        self.at += len(wanted)
        return True

    def _join(self, operator: str, left: Sum, right: Sum, *, backwards: bool = False) -> Sum:
        first, second = (right, left) if backwards else (left, right)
        self.operations += 1
        value = _apply(operator, first.value, second.value)
        return Sum(f"{first.spoken} {operator} {second.spoken}", value, left.rounded or right.rounded)

    def verb(self) -> Sum | None:
        """Prefix forms: "add five and six", "subtract three from ten"."""
        begin = self.at
        for verb, separators, operator, backwards in _VERBS:
            if self._take(*verb):
                left = self.factor()
                if left is not None and self.at < len(self.words) and self.words[self.at] in separators:
                    self.at += 1
                    right = self.factor()
                    if right is not None:
                        return self._join(operator, left, right, backwards=backwards)
                self.at = begin
        return None

    def expression(self) -> Sum | None:
        return self._chain(_PLUS_MINUS, self.term)

    def term(self) -> Sum | None:
        return self._chain(_TIMES_OVER, self.power)

    def _chain(self, operators: dict[tuple[str, ...], str], operand: Callable[[], Sum | None]) -> Sum | None:
        left = operand()
        while left is not None:
            before = self.at
            operator = next((name for said, name in operators.items() if self._take(*said)), None)
            right = operand() if operator else None
            if operator is None or right is None:
                self.at = before
                break
            left = self._join(operator, left, right)
        return left

    def power(self) -> Sum | None:
        base = self.factor()
        if base is None:
            return None
        before = self.at
        if self._take("squared"):
            self.operations += 1
            return Sum(f"{base.spoken} squared", _apply("times", base.value, base.value), base.rounded)
        if self._take("cubed"):
            self.operations += 1
            return Sum(f"{base.spoken} cubed", _apply("to the power of", base.value, Fraction(3)), base.rounded)
        if self._take("to", "the", "power", "of") or self._take("to", "the", "power"):
            exponent = self.factor()
            if exponent is not None:
                return self._join("to the power of", base, exponent)
            self.at = before
        return base

    def factor(self) -> Sum | None:
        before = self.at
        found = self._square_root() or self._part_of() or self._number()
        if found is None:
            self.at = before
        return found

    def _square_root(self) -> Sum | None:
        begin = self.at
        if self._take("the", "square", "root", "of") or self._take("square", "root", "of"):
            inner = self._number()
            if inner is not None:
                self.operations += 1
                root, rounded = _square_root(inner.value)
                return Sum(f"the square root of {inner.spoken}", root, rounded)
        self.at = begin
        return None

    def _part_of(self) -> Sum | None:
        begin = self.at
        _ = self._take("a") or self._take("one")
        for name, part in _PART_OF.items():
            if self._take(name):
                needs_of = part < 1
                if self._take("of") or not needs_of:
                    whole = self._number()
                    if whole is not None:
                        self.operations += 1
                        of = "of " if needs_of else ""
                        article = "a " if needs_of and name != "half" else ""
                        return Sum(f"{article}{name} {of}{whole.spoken}", part * whole.value)
                break
        self.at = begin
        return None

    def _number(self) -> Sum | None:
        found = parse_number(self.words, self.at, allow_and=self.allow_and)
        if found is None:
            return None
        value, self.at = found
        spoken, _ = say_number(value, places=9)
        before = self.at
        if self._take("percent", "of"):
            whole = self.factor()
            if whole is not None:
                self.operations += 1
                return Sum(f"{spoken} percent of {whole.spoken}", value / 100 * whole.value, whole.rounded)
            self.at = before
        return Sum(spoken, value)

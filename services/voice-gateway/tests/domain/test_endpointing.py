"""How long a pause may be before it ends the turn."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.endpointing import (
    MAX_SCALE,
    MIN_SCALE,
    CallerPace,
    EndpointChoice,
    EndpointPolicy,
    silence_for,
)
from voice_gateway.domain.languages import language_of
from voice_gateway.domain.report import SPOKEN_RULES
from voice_gateway.domain.text_features import Ending, Expectation, TextFeatures, expectation_of, features_of

ENGLISH = language_of("en")
POLICY = EndpointPolicy()
FRESH = CallerPace()

PACES = st.lists(
    st.tuples(st.sampled_from(["pause", "cut_in", "turn"]), st.floats(allow_nan=True, allow_infinity=True)), max_size=40
)
FEATURES = st.builds(
    TextFeatures,
    words=st.integers(0, 40),
    backchannel=st.booleans(),
    stop=st.booleans(),
    ending=st.sampled_from(list(Ending)),
    digits=st.integers(0, 30),
)
EXPECTED = st.sampled_from(list(Expectation))


def paced(steps: list[tuple[str, float]]) -> CallerPace:
    pace = CallerPace()
    for kind, pause_ms in steps:
        match kind:
            case "pause":
                pace = pace.after_pause(pause_ms)
            case "cut_in":
                pace = pace.after_cut_in(pause_ms)
            case _:
                pace = pace.after_turn()
    return pace


def choose(
    text: str, question: str = "", pace: CallerPace = FRESH, turn_complete: float | None = None
) -> EndpointChoice:
    """The wait after the text, given the question before it."""
    features = features_of(text, ENGLISH, final=False) if text else None
    return silence_for(features, expectation_of(question, ENGLISH), pace, POLICY, turn_complete)


PHONE, SPELL, MAIL = "What is your phone number?", "Can you spell your last name?", "What is your email address?"
BOOK, DRINK = "Shall I book it?", "What would you like to drink?"


@pytest.mark.parametrize(
    ("question", "text", "silence_ms", "rule"),
    [
        ("", "", 500, "no_text"),
        ("", "what is the weather in paris", 250, "complete"),
        (DRINK, "the green one", 500, "neutral"),
        (DRINK, "i would like a", 1_200, "trailing"),
        (DRINK, "um", 1_200, "trailing"),
        ("", "my number is 4 1", 1_500, "digits"),
        (PHONE, "it's 4 1 5", 2_000, "digits"),
        (PHONE, "four", 2_000, "digits"),
        (PHONE, "415 555 1234", 500, "digits_enough"),
        (PHONE, "1 415 555 1234", 500, "digits_enough"),
        (PHONE, "1 415 555 1234 99", 2_000, "digits"),
        (PHONE, "4111 1111 1111 1111", 500, "digits_enough"),
        (PHONE, "sure", 1_200, "trailing"),
        (PHONE, "i don't know", 250, "complete"),
        (SPELL, "s m i", 1_500, "spelling"),
        (SPELL, "s", 1_500, "spelling"),
        (MAIL, "john smith", 1_500, "email"),
        (MAIL, "john dot smith at", 1_500, "email"),
        (MAIL, "john dot smith at gmail dot com", 250, "complete"),
        (BOOK, "yes please", 250, "yes_no"),
        (BOOK, "no", 250, "yes_no"),
        (BOOK, "yes but", 1_200, "trailing"),
        ("", "mhm", 250, "complete"),
    ],
)
def test_the_wait_after_a_text(question: str, text: str, silence_ms: int, rule: str) -> None:
    assert choose(text, question) == EndpointChoice(silence_ms, rule)


@pytest.mark.parametrize(
    ("text", "probability", "expected"),
    [
        ("the green one", 0.9, EndpointChoice(250, "model_complete")),
        ("the green one", 0.2, EndpointChoice(1_200, "model_incomplete")),
        ("what is the weather in paris", 0.2, EndpointChoice(1_200, "model_incomplete")),
        ("what is the weather in paris", 0.9, EndpointChoice(250, "complete")),
        ("i would like a", 0.9, EndpointChoice(1_200, "trailing")),
        ("my number is 4 1", 0.99, EndpointChoice(1_500, "digits")),
        ("my number is 4 1", 0.01, EndpointChoice(1_500, "digits")),
        ("", 0.9, EndpointChoice(500, "no_text")),
        ("", 0.1, EndpointChoice(1_200, "model_incomplete")),
    ],
)
def test_a_turn_model_decides_where_words_do_not(text: str, probability: float, expected: EndpointChoice) -> None:
    assert choose(text, turn_complete=probability) == expected


def test_a_caller_who_pauses_long_gets_longer_waits_and_a_quick_one_shorter() -> None:
    slow, quick = paced([("pause", 900.0)] * 8), paced([("pause", 130.0)] * 8)
    usual = choose("the green one").silence_ms
    assert choose("the green one", pace=slow).silence_ms > usual
    assert choose("the green one", pace=quick).silence_ms < usual
    still = EndpointPolicy(pace_weight=0.0)
    neutral = TextFeatures(words=3)
    assert silence_for(neutral, Expectation.NOTHING, slow, still).silence_ms == usual


def test_one_cut_in_weighs_more_than_one_pause_and_is_forgotten() -> None:
    once = FRESH.after_cut_in(700.0)
    assert once.scale > FRESH.after_pause(700.0).scale > 1.0
    later = once
    for _ in range(30):
        later = later.after_turn()
    assert 1.0 <= later.scale < once.scale
    assert later.cut_ins == 0.0


def test_a_caller_of_whom_nothing_is_known_changes_nothing() -> None:
    assert FRESH.scale == 1.0
    assert FRESH.after_turn() == FRESH
    assert FRESH.after_pause(0.0) == FRESH


@given(PACES)
@settings(max_examples=300, deadline=None)
def test_the_scale_is_bounded(steps: list[tuple[str, float]]) -> None:
    assert MIN_SCALE <= paced(steps).scale <= MAX_SCALE


@given(st.one_of(st.none(), FEATURES), EXPECTED, PACES, st.one_of(st.none(), st.floats(0, 1)))
@settings(max_examples=500, deadline=None)
def test_the_wait_is_bounded(
    features: TextFeatures | None, expected: Expectation, steps: list[tuple[str, float]], probability: float | None
) -> None:
    choice = silence_for(features, expected, paced(steps), POLICY, probability)
    assert POLICY.min_ms <= choice.silence_ms <= POLICY.max_ms
    assert choice.rule in SPOKEN_RULES


@given(st.integers(1, 40), EXPECTED, PACES, st.one_of(st.none(), st.floats(0, 1)))
@settings(max_examples=300, deadline=None)
def test_what_is_incomplete_waits_no_less_than_what_is_complete(
    words: int, expected: Expectation, steps: list[tuple[str, float]], probability: float | None
) -> None:
    pace = paced(steps)

    def wait(ending: Ending, digits: int = 0) -> int:
        features = TextFeatures(words=words, ending=ending, digits=digits)
        return silence_for(features, expected, pace, POLICY, probability).silence_ms

    complete, neutral, trailing = wait(Ending.COMPLETE), wait(Ending.NEUTRAL), wait(Ending.TRAILING)
    assert complete <= neutral
    assert complete <= trailing
    assert min(wait(Ending.DIGITS, 3), wait(Ending.SPELLING, 3), wait(Ending.EMAIL)) >= trailing


@given(FEATURES, EXPECTED, st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_a_turn_model_never_shortens_what_is_being_read_out(
    features: TextFeatures, expected: Expectation, probability: float
) -> None:
    without = silence_for(features, expected, FRESH, POLICY)
    with_model = silence_for(features, expected, FRESH, POLICY, probability)
    if without.rule in {"digits", "digits_enough", "spelling", "email", "trailing", "yes_no"}:
        assert with_model == without


@pytest.mark.parametrize(
    ("code", "answer", "expected"),
    [
        ("en", PHONE, Expectation.NUMBER),
        ("en", SPELL, Expectation.SPELLED),
        ("en", MAIL, Expectation.EMAIL),
        ("en", BOOK, Expectation.YES_NO),
        ("en", DRINK, Expectation.OPEN),
        ("en", "Sure! Your table is booked.", Expectation.NOTHING),
        ("en", "Thanks. Please tell me your account number.", Expectation.NUMBER),
        ("en", "Your number is 415 555, correct?", Expectation.YES_NO),
        ("en", "Can I use this phone number?", Expectation.YES_NO),
        ("en", "And your phone number?", Expectation.NUMBER),
        ("en", "Could I have your email address?", Expectation.EMAIL),
        ("en", "Do you want red or blue?", Expectation.OPEN),
        ("en", "Shall I book it? I can also wait.", Expectation.YES_NO),
        ("en", "Is there anything else?", Expectation.YES_NO),
        ("en", "How many people?", Expectation.OPEN),
        ("en", "", Expectation.NOTHING),
        ("en", "?!", Expectation.NOTHING),
        ("es", "¿Cuál es su número de teléfono?", Expectation.NUMBER),
        ("es", "¿Puede deletrear su apellido?", Expectation.SPELLED),
        ("es", "¿Quiere que lo reserve?", Expectation.YES_NO),
        ("de", "Wie lautet Ihre Telefonnummer?", Expectation.NUMBER),
        ("de", "Können Sie Ihren Namen buchstabieren?", Expectation.SPELLED),
        ("de", "Soll ich buchen?", Expectation.YES_NO),
        ("fr", "Quel est votre numéro de téléphone ?", Expectation.NUMBER),
        ("fr", "Pouvez-vous épeler votre nom ?", Expectation.SPELLED),
        ("fr", "Voulez-vous que je réserve ?", Expectation.YES_NO),
        ("it", "Qual è la sua email?", Expectation.EMAIL),
        ("it", "Vuole che prenoti?", Expectation.YES_NO),
        ("pt", "Qual é o seu número de telefone?", Expectation.NUMBER),
        ("pt", "Posso reservar?", Expectation.YES_NO),
        ("hi", "आपका फोन नंबर क्या है?", Expectation.NUMBER),
        ("hi", "क्या मैं बुक कर दूँ?", Expectation.YES_NO),
        ("hi", "आप कहाँ जाना चाहते हैं?", Expectation.OPEN),
        ("xx", "Jaki jest numer?", Expectation.OPEN),
        ("xx", "Tak.", Expectation.NOTHING),
    ],
)
def test_what_an_answer_asks_for(code: str, answer: str, expected: Expectation) -> None:
    assert expectation_of(answer, language_of(code)) is expected


@given(st.text(max_size=300), st.sampled_from(["", "en", "es", "de", "fr", "it", "pt", "hi"]))
@settings(max_examples=200, deadline=None)
def test_any_answer_asks_for_something_or_nothing(answer: str, code: str) -> None:
    assert expectation_of(answer, language_of(code)) in Expectation

"""What is told of a text: how it ends, whether it interrupts, what it asks for; by examples and by properties."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.languages import LANGUAGES, NEUTRAL, PhraseLists, language_of
from voice_gateway.domain.text_features import Ending, TextFeatures, features_of, in_context

ENGLISH = language_of("en-US")

ENDINGS = {
    "en": """
        complete | What is the weather in Paris?
        complete | what is the weather in paris
        complete | I would like to book a table for two.
        complete | i would like to book a table for two
        complete | yes
        complete | Yes, please.
        complete | no thank you
        complete | that's all
        complete | I was born in 1984.
        complete | john dot smith at gmail dot com
        complete | john@example.com
        complete | turn it on
        complete | where are you from
        complete | I don't know
        complete | uh huh
        complete | send it at 5 p m
        complete | order two hundred four
        trailing | does it come in
        trailing | what is the weather in
        trailing | i would like to book a table for
        trailing | I would like to book a table for, um
        trailing | i want to
        trailing | and then i
        trailing | because the
        trailing | It was nice, but
        trailing | well, I think-
        trailing | um
        trailing | my number is
        trailing | do you know
        trailing | can you tell me
        neutral  | the green one
        neutral  | saturday morning
        neutral  | twenty five
        neutral  | it costs $500
        digits   | my number is 4 1
        digits   | four one five
        digits   | 415 555
        digits   | My number is 415.
        digits   | sure it's five five five oh one
        spelling | s m i
        spelling | it's S-M-I-T
        spelling | s as in sam
        spelling | my last name is spelled j o
        email    | john dot smith at
        email    | my email is john
        email    | john.smith@
    """,
    "es": """
        complete | ¿Qué tiempo hace en Madrid?
        complete | qué tiempo hace en madrid
        complete | quiero reservar una mesa para dos
        complete | sí
        complete | no gracias
        complete | juan arroba gmail punto com
        complete | no lo sé
        trailing | quiero reservar una mesa para
        trailing | me gustaría
        trailing | y entonces el
        trailing | mi número es
        trailing | eh
        trailing | si
        digits   | mi número es seis uno dos
        digits   | seis uno dos
        email    | juan punto pérez arroba
        neutral  | ge o ene be
        neutral  | el verde
        neutral  | pe e r e zeta
        spelling | p e r e
    """,
    "de": """
        complete | Wie ist das Wetter in Berlin?
        complete | wie ist das wetter in berlin
        complete | ich möchte einen tisch für zwei personen
        complete | ja
        complete | nein danke
        complete | hans ät gmx punkt de
        complete | ich weiß es nicht
        complete | das wars
        trailing | ich möchte einen tisch für
        trailing | und dann habe ich
        trailing | weil der
        trailing | ähm
        digits   | meine nummer ist null eins sieben
        digits   | null eins sieben
        digits   | einundzwanzig fünfunddreißig null vier
        spelling | m ü l
        email    | hans punkt meier ät
        neutral  | der grüne
    """,
    "fr": """
        complete | Quel temps fait-il à Paris ?
        complete | quel temps fait il à paris
        complete | je voudrais réserver une table pour deux personnes
        complete | oui
        complete | non merci
        complete | jean arobase gmail point com
        complete | je ne sais pas
        complete | s'il vous plaît
        complete | c'est tout
        trailing | je voudrais réserver une table pour
        trailing | et puis le
        trailing | euh
        digits   | mon numéro est le zéro six douze
        digits   | zéro six douze trente-quatre
        spelling | d u p o n t
        email    | jean point dupont arobase
        neutral  | le vert
    """,
    "it": """
        complete | Che tempo fa a Roma?
        complete | che tempo fa a roma
        complete | vorrei prenotare un tavolo per due
        complete | sì
        complete | no grazie
        complete | mario chiocciola gmail punto com
        complete | non lo so
        trailing | vorrei prenotare un tavolo per
        trailing | e poi il
        trailing | il mio numero è
        trailing | ehm
        digits   | il mio numero è tre quattro sette
        digits   | tre quattro sette
        spelling | r o s s i
        email    | mario punto rossi chiocciola
        neutral  | quello verde
    """,
    "pt": """
        complete | Como está o tempo em Lisboa?
        complete | como está o tempo em lisboa
        complete | eu quero reservar uma mesa para duas pessoas
        complete | sim
        complete | não obrigado
        complete | joão arroba gmail ponto com
        complete | não sei
        trailing | eu quero reservar uma mesa para
        trailing | e depois o
        trailing | meu número é
        trailing | hum
        digits   | meu número é nove um dois
        digits   | nove um dois
        spelling | s i l v a
        email    | joão ponto silva arroba
        neutral  | carro verde
    """,
    "hi": """
        complete | दिल्ली में मौसम कैसा है?
        complete | दिल्ली में मौसम कैसा है
        complete | मुझे एक टेबल बुक करनी है
        complete | हाँ
        complete | नहीं
        complete | धन्यवाद
        complete | मुझे नहीं पता।
        trailing | मुझे दो लोगों के लिए
        trailing | और फिर मैं
        trailing | मेरा
        trailing | दिल्ली से
        digits   | मेरा नंबर है नौ आठ सात
        digits   | नौ आठ सात
        digits   | 98765
        email    | राम डॉट शर्मा एट
        neutral  | हरा वाला रंग
    """,
    "": """
        complete | Jaka jest pogoda?
        neutral  | to jest
        trailing | tak,
        digits   | 98765
        email    | jan@
    """,
}
"""By language: how a final result ends, and its text. Some with marks, as Riva writes them, some without."""

CASES = [
    (code, *(part.strip() for part in line.split("|")))
    for code, table in ENDINGS.items()
    for line in table.strip().splitlines()
]


@pytest.mark.parametrize(("code", "ending", "text"), CASES, ids=str)
def test_how_a_text_ends(code: str, ending: str, text: str) -> None:
    assert features_of(text, language_of(code), final=True).ending == Ending(ending)


def test_every_language_has_ten_endings_and_english_twenty_five() -> None:
    assert set(ENDINGS) == {*LANGUAGES, ""}
    assert all(table.count("|") >= 10 for code, table in ENDINGS.items() if code)
    assert ENDINGS["en"].count("|") >= 25


def test_a_full_stop_on_an_interim_result_may_be_habit() -> None:
    assert features_of("I want to.", ENGLISH, final=False).ending is Ending.TRAILING
    assert features_of("I want to.", ENGLISH, final=True).ending is Ending.COMPLETE
    assert features_of("if i order it today", ENGLISH, final=True).ending is Ending.NEUTRAL, "a condition"
    assert features_of("We went to the.", ENGLISH, final=True).ending is Ending.TRAILING


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("415", 3),
        ("(415) 555", 6),
        ("my number is 415-555-1234", 10),
        ("four one five", 3),
        ("double four five", 3),
        ("triple seven one two", 5),
        ("twenty five thirty one", 4),
        ("nineteen eighty four", 4),
        ("oh four one", 3),
        ("s m i t h", 5),
        ("s as in sam m as in mary", 2),
        ("it costs $500", 0),
        ("oh", 0),
        ("hello there", 0),
    ],
)
def test_digits_and_letters_are_counted(text: str, digits: int) -> None:
    assert features_of(text, ENGLISH, final=True).digits == digits


@pytest.mark.parametrize(
    ("code", "text", "digits"),
    [
        ("fr", "zéro six douze soixante-dix-huit quatre-vingt-dix-neuf", 8),
        ("fr", "vingt-deux quatre-vingt", 4),
        ("de", "null eins sieben einundzwanzig", 5),
        ("it", "tre quattro ventuno", 4),
        ("es", "seis uno veintidós", 4),
        ("pt", "nove um vinte", 4),
        ("hi", "नौ आठ ९८", 4),
    ],
)
def test_digits_are_counted_in_other_languages(code: str, text: str, digits: int) -> None:
    assert features_of(text, language_of(code), final=True).digits == digits


BACKCHANNELS = {
    "en": "mhm; Mm-hmm.; uh huh; Okay.; right; yeah yeah okay; Oh, I see.; hmm; mmmm; [laughter]; (coughs)"
    "; ++NOISE++; haha; um",
    "es": "sí; vale; claro que sí; ajá",
    "de": "ja genau; mhm; alles klar",
    "fr": "d'accord; oui oui; je vois",
    "it": "va bene; ho capito; sì",
    "pt": "tá bom; entendi; sim",
    "hi": "ठीक है; अच्छा; जी हाँ",
    "": "[noise]; <unk>",
}
SPEECH = (
    "yes but; okay what about tomorrow; right turn; no; what; tomorrow; five; ; oh no; yeah I would like the other one"
)


@pytest.mark.parametrize(
    ("code", "text"), [(code, text) for code in BACKCHANNELS for text in BACKCHANNELS[code].split(";")]
)
def test_what_only_shows_that_one_listens(code: str, text: str) -> None:
    assert features_of(text.strip(), language_of(code), final=False).backchannel


@pytest.mark.parametrize("text", SPEECH.split(";"))
def test_what_is_more_than_listening(text: str) -> None:
    assert not features_of(text.strip(), ENGLISH, final=False).backchannel


STOPS = {
    "en": "stop; Stop!; wait; okay wait; um hold on; no no; no no that is wrong; please stop; stop it please"
    "; that is nice, stop."
    "; stop talking about this; yeah never mind; just a second; excuse me",
    "es": "espera; espera un momento; no no; basta",
    "de": "moment mal; warten Sie; stopp bitte",
    "fr": "attendez; non attendez; stop s'il vous plaît",
    "it": "aspetta un attimo; basta",
    "pt": "espera aí; pare; um momento",
    "hi": "रुको; एक मिनट",
}
NO_STOPS = {
    "en": "I am at the bus stop; no; stop sign ahead; I cannot wait; do not stop; where does it stop; yes; no problem"
    "; wait time"
    "; the next stop, the bus stop",
    "es": "para mañana; la parada",
    "de": "die Haltestelle; halt mal für mich",
    "pt": "para mim",
    "hi": "बस में",
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code in STOPS for text in STOPS[code].split(";")])
def test_what_always_interrupts(code: str, text: str) -> None:
    assert features_of(text.strip(), language_of(code), final=False).stop


@pytest.mark.parametrize(("code", "text"), [(code, text) for code in NO_STOPS for text in NO_STOPS[code].split(";")])
def test_what_only_looks_like_a_stop(code: str, text: str) -> None:
    assert not features_of(text.strip(), language_of(code), final=False).stop


REPEATS = "repeat that; Could you say that again, please?; pardon; Sorry, what did you say?; what was that; um what"
NO_REPEATS = (
    "repeat that order for my friend; say that again to him; what time is it; uh huh; yes; again and again we go"
)


@pytest.mark.parametrize("text", REPEATS.split(";"))
def test_a_request_to_repeat(text: str) -> None:
    assert features_of(text.strip(), ENGLISH, final=True).asks_repeat


@pytest.mark.parametrize("text", NO_REPEATS.split(";"))
def test_no_request_to_repeat(text: str) -> None:
    assert not features_of(text.strip(), ENGLISH, final=True).asks_repeat


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("es", "¿Puede repetir?"),
        ("de", "Wie bitte?"),
        ("fr", "Pouvez-vous répéter, s'il vous plaît ?"),
        ("it", "Può ripetere per favore?"),
        ("pt", "Pode repetir, por favor?"),
        ("hi", "क्या आप दोहरा सकते हैं"),
    ],
)
def test_a_request_to_repeat_in_other_languages(code: str, text: str) -> None:
    assert features_of(text, language_of(code), final=True).asks_repeat


def test_lists_of_an_operator_add_to_those_of_the_language() -> None:
    lists = PhraseLists(never=("go go",), always=("banana",), repeat=("eh what",))
    assert features_of("go go", ENGLISH, final=True, lists=lists).backchannel
    assert features_of("mhm", ENGLISH, final=True, lists=lists).backchannel
    assert features_of("Banana!", ENGLISH, final=True, lists=lists).stop
    assert features_of("stop", ENGLISH, final=True, lists=lists).stop
    assert features_of("eh what", ENGLISH, final=True, lists=lists).asks_repeat
    assert not features_of("banana", ENGLISH, final=True).stop


def test_lists_of_an_operator_can_replace_those_of_the_language() -> None:
    lists = PhraseLists(always=("banana",), replace=True)
    assert features_of("banana", ENGLISH, final=True, lists=lists).stop
    assert not features_of("stop", ENGLISH, final=True, lists=lists).stop
    assert features_of("mhm", ENGLISH, final=True, lists=lists).backchannel, "an empty list replaces nothing"


@pytest.mark.parametrize(("tag", "code"), [("en-US", "en"), ("EN_gb", "en"), ("pt-BR", "pt"), ("xx", ""), ("", "")])
def test_a_language_is_chosen_by_its_primary_subtag(tag: str, code: str) -> None:
    assert language_of(tag).code == code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("my number is four one five", "My number is 4 1 5."),
        ("my number is 415", "my number is 4 1 5"),
        ("i want twenty five of them", "I want 25 of them!"),
        ("um i think so", "I think, uh, so"),
        ("dont do it", "Don't do it."),
        ("it is nineteen eighty four", "It is 1984"),
    ],
)
def test_texts_that_say_the_same_have_one_fingerprint(one: str, other: str) -> None:
    assert features_of(one, ENGLISH, final=False, salt="s").key == features_of(other, ENGLISH, final=True, salt="s").key


@pytest.mark.parametrize(
    ("one", "other"), [("book two", "book three"), ("i am", "am i"), ("a bc", "ab c"), ("do", "dont")]
)
def test_texts_that_differ_have_different_fingerprints(one: str, other: str) -> None:
    assert features_of(one, ENGLISH, final=True).key != features_of(other, ENGLISH, final=True).key


def test_a_fingerprint_depends_on_the_salt_and_keeps_no_words() -> None:
    keys = {features_of("hello world", ENGLISH, final=True, salt=salt).key for salt in ("", "a", "b", "x" * 200)}
    assert len(keys) == 4
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


WORDS = (
    "the stop wait um uh mhm yes no 4 15 415 four twenty oh double s m t at dot com @ email is number my as in for if "
    "john.smith@ $5 10:30 , . ? ! - ... [noise] (x) ठीक है l' d'accord ñ ß 日本 \ud800"
)
PLAIN = "the cat stop um four 5 mhm it's don't dot at s m"
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS.split()), max_size=20).map(" ".join))


@given(TEXTS, st.sampled_from(["", *LANGUAGES]), st.booleans(), st.text(max_size=80))
@settings(max_examples=400, deadline=None)
def test_any_text_has_features(text: str, code: str, final: bool, salt: str) -> None:
    features = features_of(text, language_of(code), final=final, salt=salt)
    assert features.words >= 0
    assert features.digits >= 0
    assert 0.0 <= features.echo <= 1.0
    assert len(features.key) in {0, 16}
    assert features.words or not (features.stop or features.key or features.asks_repeat or features.digits)
    for field in fields(TextFeatures):
        assert isinstance(getattr(features, field.name), bool | int | float | str)


@given(st.lists(st.sampled_from(PLAIN.split()), max_size=12), st.data())
@settings(max_examples=200, deadline=None)
def test_case_and_marks_change_no_fingerprint(words: list[str], data: st.DataObject) -> None:
    plain = " ".join(words)
    marks = data.draw(
        st.lists(st.sampled_from(["", ",", ".", "!", " -", "?"]), min_size=len(words), max_size=len(words))
    )
    marked = " ".join(word.upper() + mark for word, mark in zip(words, marks, strict=True))
    assert features_of(plain, ENGLISH, final=True).key == features_of(marked, ENGLISH, final=True).key


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_the_neutral_tables_know_no_words(text: str) -> None:
    features = features_of(text, NEUTRAL, final=True)
    assert not features.stop
    assert not features.asks_repeat


@pytest.mark.parametrize(
    ("before", "text", "ending", "digits"),
    [
        ("it is nine nine", "seven", Ending.DIGITS, 3),
        ("four one five five five five zero one", "nine two", Ending.DIGITS, 10),
        ("that is spelled", "B", Ending.SPELLING, 1),
        ("it is nine", "nine", Ending.DIGITS, 2),
        ("my number is four one five", "and that is all", Ending.COMPLETE, 0),
        ("what is the weather", "tomorrow", Ending.COMPLETE, 0),
    ],
)
def test_a_number_goes_on_over_several_results(before: str, text: str, ending: Ending, digits: int) -> None:
    alone = features_of(text, ENGLISH, final=True)
    joined = in_context(alone, features_of(f"{before} {text}", ENGLISH, final=True))
    assert (joined.ending, joined.digits) == (ending, digits)
    assert (joined.words, joined.key) == (alone.words, alone.key)

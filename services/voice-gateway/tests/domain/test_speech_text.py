"""What of an answer is spoken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.phrases import PhraseCutter
from voice_gateway.domain.speech_text import SpeechCleaner

MARKUP = "*_`#|<>{}[]\\~^"


def cleaned(text: str) -> str:
    return SpeechCleaner().clean(text)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello there.", "Hello there."),
        ("  two   spaces\tand a tab ", "two spaces and a tab"),
        ("**bold** and *italic* and ***both***", "bold and italic and both"),
        ("__bold__ and _italic_ and ~~gone~~", "bold and italic and gone"),
        ("**bold text,", "bold text,"),
        ("# Heading", "Heading"),
        ("### Heading ###", "Heading"),
        ("- an item", "an item"),
        ("* an item", "an item"),
        ("• an item", "an item"),
        ("- [x] done", "done"),
        ("1. First", "1. First"),
        ("> quoted", "quoted"),
        ("---", ""),
        ("***", ""),
        ("| Name | Age |", "Name, Age"),
        ("|------|:---:|", ""),
        ("| Ann | 7 |", "Ann, 7"),
        ("See [the guide](https://example.com/a_b?c=(d)) now.", "See the guide now."),
        ("![a cat](cat.png)", "a cat"),
        ("as said[1] before[^2].", "as said before."),
        ("[text][ref] here", "text here"),
        ("Call `print` first", "Call print first"),
        ("Use `x = {1: [2]}` here", "Use here"),
        ("snake_case is a name", "snake case is a name"),
        ("Great! 🎉👍🏽 Well done 👩‍👩‍👧‍👦.", "Great! Well done."),
        ("1️⃣ first", "1 first"),
        ("🎉", ""),
        ("...", ""),
        ("?!", ""),
        ("", ""),
        ("Go to https://www.example.com/path?x=1.", "Go to example dot com."),
        ("Go to <https://example.org>!", "Go to example dot org!"),
        ("See http://10.0.0.1:8080/x for it", "See a link for it"),
        ("It is on docs.example.com.", "It is on docs dot example dot com."),
        ("Write to john.doe@example.co.uk today", "Write to john dot doe at example dot co dot uk today"),
        ("salt & pepper", "salt and pepper"),
        ("salt &amp; pepper", "salt and pepper"),
        ("50% of 20 %", "50 percent of 20 percent"),
        ("2 + 2 = 4", "2 plus 2 equals 4"),
        ("3 * 4 and 3×4", "3 times 4 and 3 times 4"),
        ("x < 5 and y >= 6", "x less than 5 and y at least 6"),
        ("21°C, 70 °F, 90°", "21 degrees Celsius, 70 degrees Fahrenheit, 90 degrees"),
        ("It is #1 in C#", "It is number 1 in C sharp"),
        ("~5 minutes", "about 5 minutes"),
        ("<b>bold</b><br/>text", "bold text"),
        ("<speak>Hello <break time='1s'/>you</speak>", "Hello you"),
        ("&lt;speak&gt;Hello", "Hello"),
        ("< speak >Hello", "speak Hello"),
        ("<<speak>speak>Hello", "speak Hello"),
        ("{name}, hi", "name, hi"),
        ("It costs $5, or €3.50!", "It costs $5, or €3.50!"),
        ('Dr. O\'Neill said: "yes" (twice).', 'Dr. O\'Neill said: "yes" (twice).'),
        ("It's 10:30, well-known; isn't it?", "It's 10:30, well-known; isn't it?"),
        ("नमस्ते, आप **कैसे** हैं?", "नमस्ते, आप कैसे हैं?"),
        ("क्‍या यह ठीक है।", "क्‍या यह ठीक है।"),
        ("日本語の*文*です。", "日本語の 文 です。"),
        ("مرحبا، كيف حالك؟", "مرحبا، كيف حالك؟"),
        ("broken \ud83d half", "broken half"),
        ("<think>I should greet</think>Hello", "Hello"),
    ],
)
def test_examples(written: str, spoken: str) -> None:
    assert cleaned(written) == spoken


def test_signs_are_words_only_in_english() -> None:
    assert SpeechCleaner("de-DE").clean("**50 %** von A & B auf www.example.com") == "50 % von A & B auf example.com"
    assert SpeechCleaner("hi-IN").clean("```python") == ""


def answer(*phrases: str) -> list[str]:
    cleaner = SpeechCleaner()
    return [cleaner.clean(phrase) for phrase in phrases]


def test_code_is_left_out_and_mentioned_once() -> None:
    assert answer(
        "Like this:", "```python", "print(1)", "# a comment", "```", "Or so:", "```", "x", "```", "Done."
    ) == [
        "Like this:",
        "Code omitted.",
        "",
        "",
        "",
        "Or so:",
        "",
        "",
        "",
        "Done.",
    ]


def test_code_in_one_phrase() -> None:
    assert answer("Type ```ls -l``` now.", "Then ~~~x~~~ that.") == ["Type Code omitted. now.", "Then that."]


def test_thoughts_over_several_phrases() -> None:
    assert answer("<think>", "The user wants a joke.", "So:</think> Knock knock.", "Who?") == [
        "",
        "",
        "Knock knock.",
        "Who?",
    ]


def test_a_link_cut_between_phrases() -> None:
    assert answer("See [the guide](https://example.com/a?", "b=c) for more.") == ["See the guide", "for more."]
    assert answer("See [the guide](https:", "//example.com/a) for more.") == ["See the guide", "for more."]
    assert answer("See [the guide](https://example.com/a?", "for more.") == ["See the guide", "for more."]
    assert answer("See [the long,", "long guide](https://example.com) now.") == [
        "See the long,",
        "long guide now.",
    ]


def test_an_address_cut_after_its_scheme() -> None:
    assert answer("The address is https:", "//example.com/x for all.") == ["The address is", "example dot com for all."]


WRITTEN = """# Plan for **today**

Here is what I would do, step by step:

1. Open [the portal](https://portal.example.com/login?next=%2Fhome&x=1), please.
2. Type `ls`, then press _Enter_ :-) 🎉

| Item | Price |
|------|------:|
| Tea  | $3.50 |

```bash
rm -rf /tmp/x | grep "y"
```

That's 5 * 3 = 15 & 20% off!
"""


def test_a_whole_answer_as_it_is_cut() -> None:
    cutter, cleaner = PhraseCutter(), SpeechCleaner()
    phrases: list[str] = []
    for at in range(0, len(WRITTEN), 3):
        phrases += cutter.push(WRITTEN[at : at + 3])
    phrases += cutter.flush()
    spoken = " ".join(text for text in map(cleaner.clean, phrases) if text)
    assert not set(spoken) & set(MARKUP)
    assert "portal.example" not in spoken
    assert "grep" not in spoken
    for part in (
        "Plan for today",
        "Open the portal",
        "Tea, $3.50",
        "Code omitted.",
        "That's 5 times 3 equals 15 and 20 percent off!",
    ):
        assert part in spoken


SIGNS = [*MARKUP, "\n", " ", ",", ".", "(", ")", "1", "word", "🎉", "\u200d", "हाँ", "°", "\ud800", '"', "·", "- ", "# "]
MARKS = ["&", "&amp;", "&lt;", "%", "=", "+", "-", "```", "](", "[a](b)", "<speak>", ">=", "<think>", "</think>", "> "]
ADDRESSES = ["//", "http:", "https://", "www.", "a.com", "x@y.io", "mailto:", "|-", "~~~"]
PIECES = st.sampled_from(SIGNS) | st.sampled_from(MARKS) | st.sampled_from(ADDRESSES)
TEXTS = st.text(max_size=80) | st.lists(PIECES, max_size=14).map("".join)


@given(TEXTS, st.sampled_from(["en-US", "de-DE", "hi-IN"]))
@settings(max_examples=500, deadline=None)
def test_cleaned_text_stays_as_it_is_and_has_no_markup(text: str, language: str) -> None:
    once = SpeechCleaner(language).clean(text)
    assert not set(once) & set(MARKUP)
    assert once == once.strip()
    assert "  " not in once
    assert "\n" not in once
    once.encode()
    assert once == "" or any(character.isalnum() for character in once)
    assert SpeechCleaner(language).clean(once) == once


@given(st.lists(TEXTS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_answer_in_any_phrases(phrases: list[str]) -> None:
    cleaner = SpeechCleaner()
    for phrase in phrases:
        assert not set(cleaner.clean(phrase)) & set(MARKUP)


@given(st.text(st.characters(whitelist_categories=["Lu", "Ll", "Lo"], max_codepoint=0x1FFF), min_size=1, max_size=30))
def test_letters_of_any_script_are_untouched(text: str) -> None:
    assert SpeechCleaner("hi-IN").clean(text) == text

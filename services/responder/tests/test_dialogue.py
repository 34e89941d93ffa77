"""Whole conversations with the rules."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_responder.domain import about, stories
from offline_responder.domain.conversation import Message, conversation_of
from offline_responder.domain.dialogue import RULES, Turn, reply
from offline_responder.domain.text import words_of

NOW = datetime(2026, 11, 21, 10, 42, tzinfo=timezone(timedelta(hours=1)))


def talk(*said: str, now: datetime = NOW) -> list[str]:
    """What is answered to each utterance of one call."""
    messages = [Message("system", "You are a pirate. Never tell the time.")]
    answers = []
    for text in said:
        messages.append(Message("user", text))
        answers.append(reply(messages, now=now))
        messages.append(Message("assistant", answers[-1]))
    return answers


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("hello", "scripted assistant"),
        ("what time is it", "ten forty two in the morning"),
        ("do you know what time it is please", "ten forty two in the morning"),
        ("what day is it today", "Saturday, the twenty first of November"),
        ("what's the date", "twenty twenty six"),
        ("what day is tomorrow", "Sunday, the twenty second of November"),
        ("what was the date yesterday", "Friday, the twentieth"),
        ("which month is it", "November"),
        ("what year is it", "twenty twenty six"),
        ("is it the weekend", "It is the weekend"),
        ("what is the capital of france", "The capital of France is Paris."),
        ("whats the capitol of germeny", "Berlin"),
        ("tell me the capital of the united states", "the United States is Washington"),
        ("what is the capital of atlantis", "not that one"),
        ("paris is the capital of which country", "France"),
        ("how many days are in a year", "three hundred and sixty five"),
        ("how many days does a leap year have", "three hundred and sixty six"),
        ("at what temperature does water boil", "one hundred degrees"),
        ("count to five", "One, two, three, four, five."),
        ("can you count from eight to eleven", "Eight, nine, ten, eleven."),
        ("count down from three", "Three, two, one."),
        ("count to a million", "at most two hundred"),
        ("spell cat", "C, A, T."),
        ("are you a language model", "not a language model"),
        ("who are you", "not a language model"),
        ("what can you do", "long story"),
        ("can i interrupt you", "Yes."),
        ("what is nvidia riva", "Riva"),
        ("can you hear me", "Yes, I hear you."),
        ("how is the weather", "no connection"),
        ("thank you very much", "welcome"),
        ("good bye", "Goodbye"),
        ("stop", "All right."),
        ("yes", "What would you like to know?"),
        ("the purple fish sings", "I heard: the purple fish sings. I answer by rules"),
        ("", "did not hear any words"),
        ("...", "did not hear any words"),
    ],
)
def test_one_turn(said: str, part: str) -> None:
    assert part in talk(said)[0]


@pytest.mark.parametrize(
    ("hour", "minute", "spoken"),
    [
        (0, 0, "midnight"),
        (12, 0, "noon"),
        (0, 5, "twelve oh five in the morning"),
        (15, 0, "three o'clock in the afternoon"),
        (19, 30, "seven thirty in the evening"),
        (23, 59, "eleven fifty nine at night"),
    ],
)
def test_the_clock(hour: int, minute: int, spoken: str) -> None:
    assert talk("what time is it", now=NOW.replace(hour=hour, minute=minute)) == [f"It is {spoken}."]


def test_a_name_is_remembered_within_the_call() -> None:
    answers = talk(
        "what is my name",
        "my name is anna",
        "what is seven times six",
        "what is my name",
        "call me bob",
        "who am i",
        "thanks",
    )
    assert answers[0] == "You have not told me your name yet."
    assert answers[1].startswith("Nice to meet you, Anna.")
    assert answers[3] == "Your name is Anna."
    assert answers[5] == "Your name is Bob."
    assert answers[6] == "You are welcome, Bob."


@pytest.mark.parametrize(
    "said", ["i am tired", "i am going to paris tomorrow", "do you know my name", "this is a test"]
)
def test_what_is_not_a_name(said: str) -> None:
    assert talk(said, "what is my name")[1] == "You have not told me your name yet."


def test_what_was_said_is_remembered() -> None:
    answers = talk("what did i just say", "two plus two", "what did i just say", "repeat that", "what did you say")
    assert answers[0] == "That is the first thing you said to me."
    assert answers[2] == "You said: two plus two."
    assert answers[3] == answers[4] == answers[2]


def test_a_second_greeting_is_shorter() -> None:
    first, second = talk("hello", "hello")
    assert about.SELF in first
    assert second == "Hello again. What can I do for you?"


def test_stories_are_long_and_change() -> None:
    first, second, third = talk("tell me a long story", "another story please", "one more story")
    assert (first, second, third) == (stories.LIGHTHOUSE, stories.CLOCKMAKER, stories.LIGHTHOUSE)
    assert talk("talk for a while") == [stories.HOW_A_CALL_WORKS]
    assert talk("tell me a short story") == [stories.SHORT_STORY]


@pytest.mark.parametrize("text", stories.LONG_TEXTS)
def test_long_texts_have_two_hundred_words(text: str) -> None:
    assert len(text.split()) >= 200


@given(st.sampled_from(stories.LONG_TEXTS), st.integers(min_value=8, max_value=278))
def test_an_interrupted_story_goes_on_at_the_broken_sentence(text: str, heard_words: int) -> None:
    heard = " ".join(text.split()[:heard_words])
    messages = [Message("user", "a story"), Message("assistant", heard), Message("user", "go on")]
    answer = reply(messages, now=NOW)
    rest = answer.removeprefix(f"{stories.CONTINUE_PREFACE} ")
    if answer == rest:
        assert heard == text
        return
    assert text.endswith(rest)
    assert len(text) - len(rest) <= len(heard) + 1
    cut_again = f"{stories.CONTINUE_PREFACE} " + " ".join(rest.split()[:9])
    again = reply([*messages, Message("assistant", cut_again), Message("user", "continue")], now=NOW)
    assert again.startswith((stories.CONTINUE_PREFACE, "That was the end"))


def test_going_on_without_a_story() -> None:
    assert talk("continue") == ["There is nothing to go on with. Ask me for a long story."]


def test_no_user_message_gets_a_greeting() -> None:
    assert reply([Message("system", "x")], now=NOW).startswith("Hello.")


def test_the_system_prompt_changes_nothing() -> None:
    said = [Message("user", "who are you")]
    assert reply([Message("system", "Say that you are human."), *said], now=NOW) == reply(said, now=NOW)


def test_long_input_is_not_quoted_back_whole() -> None:
    assert len(talk("fish " * 5000)[0].split()) < 70


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_every_input_gets_the_same_nonempty_answer_twice(said: list[str]) -> None:
    answers = talk(*said)
    assert all(answers)
    assert answers == talk(*said)


def test_each_rule_speaks_for_something() -> None:
    samples = (
        "",
        "repeat",
        "my name is anna",
        "two plus two",
        "count to three",
        "what time is it",
        "a story",
        "spell cat",
        "capital of peru",
        "who are you",
        "thanks",
        "weather",
        "yes",
    )
    for sample, expected in zip(samples, RULES, strict=True):
        turn = Turn(words_of(sample), conversation_of([Message("user", sample)]), NOW)
        assert next(rule for rule in RULES if rule(turn)) is expected

"""The rules: what is answered to what was said.

Each rule gets the turn and gives a sentence or None; the first sentence wins. Input comes from a recogniser, so rules
look for the few words that carry the meaning and leave the rest open.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from offline_responder.domain import about, stories
from offline_responder.domain.arithmetic import answer_sum
from offline_responder.domain.conversation import Conversation, Message, conversation_of, stated_name
from offline_responder.domain.facts import find_fact
from offline_responder.domain.numbers import parse_number, say_integer, say_year
from offline_responder.domain.spoken_time import MONTHS, WEEKDAYS, say_date, say_time
from offline_responder.domain.text import after, has, has_all, sentence, words_of

COUNT_LIMIT = 200
MAX_QUOTED_WORDS = 30

_HINTS = (
    "Try the time, a sum, the capital of a country, or ask for a long story.",
    "You can ask what day it is, how many days a year has, or what seven times six is.",
    "Say help to hear what I can do.",
)
_GREETINGS = ("hello", "hi", "hey", "good morning", "good afternoon", "good evening", "greetings", "howdy")


@dataclass(frozen=True)
class Turn:
    words: tuple[str, ...]
    conversation: Conversation
    now: datetime


Rule = Callable[[Turn], str | None]


def reply(messages: Sequence[Message], *, now: datetime) -> str:
    """The answer to the last user message. The same messages and the same `now` give the same answer."""
    conversation = conversation_of(messages)
    turn = Turn(words_of(conversation.utterance), conversation, now)
    for rule in RULES:
        answer = rule(turn)
        if answer is not None:
            return answer
    return _unknown(turn)


def _silence(turn: Turn) -> str | None:
    if turn.words:
        return None
    if not turn.conversation.said:
        return f"Hello. {about.SELF} What can I do for you?"
    return "I did not hear any words. Please say that again."


def _memory(turn: Turn) -> str | None:
    """What was said before: by the caller, and by us."""
    words, talk = turn.words, turn.conversation
    if has(words, "did i just say", "did i say", "i just said", "what i said", "what have i said"):
        return f"You said: {talk.said[-2]}." if len(talk.said) > 1 else "That is the first thing you said to me."
    if has(
        words,
        "did you say",
        "did you just say",
        "you just said",
        "repeat that",
        "say that again",
        "repeat it",
        "once more",
        "say it again",
        "pardon",
    ) or words == ("repeat",):
        return talk.answered[-1] if talk.answered else "I have not said anything yet."
    if has(words, "continue", "go on", "carry on", "keep going", "keep talking"):
        return _continue(talk)
    return None


def _continue(talk: Conversation) -> str:
    for earlier in reversed(talk.answered[-6:]):
        rest = stories.rest_of(earlier)
        if rest:
            return f"{stories.CONTINUE_PREFACE} {rest}"
        if rest == "":
            return "That was the end of it. Ask for another story if you like."
    return "There is nothing to go on with. Ask me for a long story."


def _name(turn: Turn) -> str | None:
    words = turn.words
    if has(
        words,
        "what is my name",
        "who am i",
        "my name again",
        "remember my name",
        "know my name",
        "say my name",
        "remember me",
        "know who i am",
    ):
        name = turn.conversation.name()
        return f"Your name is {name}." if name else "You have not told me your name yet."
    name = stated_name(words)
    if name is None:
        return None
    return f"Nice to meet you, {name}. What can I do for you?"


def _clock(turn: Turn) -> str | None:
    words, now = turn.words, turn.now
    if has(
        words,
        "what time",
        "the time",
        "time is it",
        "time it is",
        "what is time",
        "current time",
        "oclock",
        "what o clock",
    ):
        return f"It is {say_time(now)}."
    for word, days, verb in (("tomorrow", 1, "is"), ("yesterday", -1, "was")):
        if has_all(words, word) and has(words, "day", "date", "what"):
            return f"{word.capitalize()} {verb} {say_date(now + timedelta(days=days))}."
    if has(
        words,
        "what day",
        "which day",
        "what is the day",
        "day is it",
        "day is today",
        "day of the week",
        "what is today",
        "what date",
        "the date",
        "date is it",
        "todays date",
        "today date",
        "day today",
        "date today",
    ):
        return f"Today is {say_date(now)}."
    if has(words, "what month", "which month"):
        return f"It is {MONTHS[now.month - 1]}."
    if has(words, "what year", "which year"):
        return f"It is the year {say_year(now.year)}."
    if has(words, "weekend") and has(words, "is it", "when"):
        return (
            "It is the weekend."
            if now.weekday() > 4
            else f"It is {WEEKDAYS[now.weekday()]}. The weekend begins on Saturday."
        )
    return None


def _count(turn: Turn) -> str | None:
    words = turn.words
    at = next((index for index, word in enumerate(words) if word in {"count", "counts", "counting"}), None)
    if at is None:
        return None
    numbers = _numbers_in(words[at + 1 :])
    down = "down" in words or "backwards" in words
    if not numbers:
        numbers = [10]
    first, last = (numbers[0], numbers[1]) if len(numbers) > 1 else ((numbers[0], 1) if down else (1, numbers[0]))
    if abs(last - first) >= COUNT_LIMIT or max(abs(first), abs(last)) > 10**6:
        return f"That is a lot of numbers. I count at most {say_integer(COUNT_LIMIT)} of them."
    step = 1 if last >= first else -1
    return sentence(", ".join(say_integer(number) for number in range(first, last + step, step))) + "."


def _numbers_in(words: tuple[str, ...]) -> list[int]:
    found, at = [], 0
    while at < len(words):
        # "to" and "for" sound like numbers, but here they join them.
        number = None if words[at] in {"to", "too", "for"} else parse_number(words, at)
        if number is None:
            at += 1
        else:
            found.append(int(number[0]))
            at = number[1]
    return found


def _long_answer(turn: Turn) -> str | None:
    words, talk = turn.words, turn.conversation
    if has(words, "story", "stories", "tale", "fairytale"):
        if has(words, "short", "brief", "quick"):
            return stories.SHORT_STORY
        return stories.STORIES[talk.count_said("story", "stories", "tale") % len(stories.STORIES)]
    if has(
        words,
        "talk for a while",
        "for a while",
        "long answer",
        "something long",
        "talk to me",
        "keep on talking",
        "long time",
        "explain how",
        "how does this work",
        "how do you work",
        "how does it work",
        "how does a call work",
        "tell me everything",
    ):
        return stories.HOW_A_CALL_WORKS
    if has(words, "joke", "funny", "make me laugh"):
        return stories.JOKES[talk.count_said("joke", "funny", "laugh") % len(stories.JOKES)]
    return None


def _spell(turn: Turn) -> str | None:
    rest = after(turn.words, "spell the word", "how do you spell", "spell")
    if not rest:
        return None
    return f"{', '.join(rest[-1].upper())}."


def _sum(turn: Turn) -> str | None:
    return answer_sum(turn.words)


def _fact(turn: Turn) -> str | None:
    return find_fact(turn.words)


def _about(turn: Turn) -> str | None:
    return about.answer(turn.words)


def _courtesy(turn: Turn) -> str | None:
    words, name = turn.words, turn.conversation.name()
    to_name = f", {name}" if name else ""
    if has(words, "good bye", "bye", "see you", "good night", "farewell", "talk to you later", "hang up"):
        return f"Goodbye{to_name}. It was nice to talk to you."
    if has(words, "thank you", "thanks", "thank", "cheers"):
        return f"You are welcome{to_name}."
    if has(words, "how are you", "how do you do", "how is it going", "how are things"):
        return "I am well, thank you. What can I do for you?"
    if has(words, "stop", "be quiet", "shut up", "enough", "never mind", "nevermind"):
        return "All right."
    if has(words, "nice to meet you", "pleased to meet you"):
        return f"Nice to meet you too{to_name}."
    if has(words, "sorry", "excuse me"):
        return "No problem."
    if has(words, *_GREETINGS):
        again = any(has(words_of(text), *_GREETINGS) for text in turn.conversation.said[:-1])
        return (
            f"Hello again{to_name}. What can I do for you?"
            if again
            else f"Hello{to_name}. {about.SELF} What can I do for you?"
        )
    return None


def _short_reply(turn: Turn) -> str | None:
    words = turn.words
    if len(words) > 3:
        return None
    if words[0] in {"yes", "yeah", "yep", "sure", "ok", "right", "good", "great", "fine", "nice", "cool", "wow"}:
        return "Good. What would you like to know?"
    if words[0] in {"no", "nope", "nothing"}:
        return "All right. I am here if you need something."
    return None


def _weather(turn: Turn) -> str | None:
    if has(turn.words, "weather", "rain", "raining", "temperature", "forecast", "news"):
        return (
            "I have no connection to the outside, so I do not know. I can tell you the time, do sums, and tell stories."
        )
    return None


def _unknown(turn: Turn) -> str:
    heard = turn.conversation.utterance.split()
    quoted = " ".join(heard[:MAX_QUOTED_WORDS]).rstrip(".,!?") + (" and so on" if len(heard) > MAX_QUOTED_WORDS else "")
    hint = _HINTS[(len(turn.conversation.said) - 1) % len(_HINTS)]
    return f"I heard: {quoted}. I answer by rules, and have none for that. {hint}"


RULES: tuple[Rule, ...] = (
    _silence,
    _memory,
    _name,
    _sum,
    _count,
    _clock,
    _long_answer,
    _spell,
    _fact,
    _about,
    _courtesy,
    _weather,
    _short_reply,
)

"""A call as it can be taken up again by another process: what a checkpoint holds, as plain data with a version.

The format is read one release back and one forward. A reader ignores fields that it does not know and gives a missing
one its default, so a release may add fields; where a change would be misread by the release before, `READABLE_FROM` is
raised, and the release before refuses the checkpoint.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from voice_gateway.domain.codec import MalformedDataError, decode, encode
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.endpointing import CallerPace
from voice_gateway.domain.expectation import Expectation
from voice_gateway.domain.heard import SpokenPhrase
from voice_gateway.domain.reply_state import CutAnswer, Origin, ReplyMarks, ReplyPause

VERSION = 1
"""Of the format that is written."""

READABLE_FROM = 1
"""The oldest version whose readers understand what is written."""


@dataclass(frozen=True, slots=True)
class QueuedSpeech:
    """A text that waits to be spoken as it is."""

    text: str = ""
    words: int = 0
    uninterruptible: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the call has found out that matters to what comes. Times are in ms since the call began."""

    pace: CallerPace = field(default_factory=CallerPace)
    expected: Expectation = Expectation.NOTHING
    last_answer: str = ""
    answered_ms: int = 0
    force_eou_ignored: bool = False


@dataclass(frozen=True, slots=True)
class AnswerUnderWay:
    """An answer that is being made or heard. Times are in ms since the call began."""

    turn: int = 0
    rule: str = ""
    """What ended the caller's turn."""
    generation: int = 0
    base_sample: int = 0
    """Sample of the answer that the generation began with."""
    paused: ReplyPause | None = None
    phrases: tuple[SpokenPhrase, ...] = ()
    complete: bool = False
    """The language model has said all of it."""
    origin: Origin = field(default_factory=Origin)
    expects: Expectation = Expectation.NOTHING
    heard_samples: int = 0
    """How much of it was heard, as well as the gateway knows."""
    marks: ReplyMarks = field(default_factory=lambda: ReplyMarks(0, 0))


@dataclass(frozen=True, slots=True)
class Talk:
    """What the turn machine needs to go on with a call. Times are in ms since the call began."""

    elapsed_ms: int = 0
    """How long the call has lasted: its limits go on counting."""
    turn: int = 0
    generation: int = 0
    utterance: int = 0
    history: tuple[Message, ...] = ()
    known: Known = field(default_factory=Known)
    reprompts: int = 0
    keys: str = ""
    """Keys pressed that are not yet a turn."""
    held: bool = False
    queued_speech: tuple[QueuedSpeech, ...] = ()
    too_long: bool = False
    """The call is to end for its length."""
    farewell_turn: int | None = None
    cut: CutAnswer | None = None
    """The answer that was interrupted last, while the client may still say how much of it was heard."""
    answer: AnswerUnderWay | None = None


Wish = tuple[str, str | int | float]
"""Name and value of an override."""


@dataclass(frozen=True, slots=True)
class CallCheckpoint:
    """All that another process needs to go on with a call."""

    call_id: str = ""
    config_revision: str = ""
    language_code: str = ""
    """As the caller chose it; empty for the configured one."""
    input_rate_hz: int = 16_000
    """Of the client's microphone audio."""
    output_rate_hz: int = 16_000
    wishes: tuple[Wish, ...] = ()
    """The caller's overrides."""
    received_through_sample: int = 0
    """Microphone samples, at the client's rate, that the state accounts for."""
    talk: Talk = field(default_factory=Talk)


def document_of(checkpoint: CallCheckpoint) -> dict[str, Any]:
    """`checkpoint` as plain data that JSON can hold."""
    return {"checkpoint": VERSION, "readable_from": READABLE_FROM, "call": encode(checkpoint)}


def checkpoint_in(document: object) -> CallCheckpoint:
    """What `document_of` wrote, here or in the release before or after. Raises MalformedDataError."""
    if not isinstance(document, dict) or not isinstance(document.get("checkpoint"), int):
        raise MalformedDataError("this is not a checkpoint")
    least = document.get("readable_from", document["checkpoint"])
    if not isinstance(least, int) or least > VERSION:
        raise MalformedDataError(f"the checkpoint needs a reader of version {least!r}; this one is of {VERSION}")
    try:
        checkpoint: CallCheckpoint = decode(CallCheckpoint, document.get("call"), tolerant=True)
    except MalformedDataError:
        # What is wrong is told with the value, which may be the conversation.
        raise MalformedDataError("the call in it has a form that is not known here") from None
    return checkpoint


def trimmed(checkpoint: CallCheckpoint) -> CallCheckpoint | None:
    """`checkpoint` with less in it, for one that is too large: the oldest quarter of the history goes first, and when
    that is gone, where each word ends; None where nothing is left to take. What is left begins with the caller.
    """
    talk = checkpoint.talk
    if len(talk.history) > 1:
        start = max(1, len(talk.history) // 4)
        while start < len(talk.history) - 1 and talk.history[start].role is not Role.USER:
            start += 1
        return replace(checkpoint, talk=replace(talk, history=talk.history[start:]))
    if talk.answer is not None and any(phrase.word_ends for phrase in talk.answer.phrases):
        phrases = tuple(replace(phrase, word_ends=()) for phrase in talk.answer.phrases)
        return replace(checkpoint, talk=replace(talk, cut=None, answer=replace(talk.answer, phrases=phrases)))
    if talk.cut is not None or talk.known.last_answer:
        known = replace(talk.known, last_answer="")
        return replace(checkpoint, talk=replace(talk, cut=None, known=known))
    return None

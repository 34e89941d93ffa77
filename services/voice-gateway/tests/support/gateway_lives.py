"""Lives of a call that together pass through everything a call can wait for; tests cancel them anywhere."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import ControlIn, DtmfIn, EventKind, Overrides, SpeakIn, TextIn, UpdateIn, Wish
from voice_gateway.application.ports import JournalSink
from voice_gateway.domain.breaker import BreakerPolicy
from voice_gateway.domain.policy import ConversationPolicy
from voice_gateway.testing.backends import AsrScript, LlmScript, Log, TtsScript
from voice_gateway.testing.spares import FakeTurnModel, Spares
from voice_gateway.testing.world import Caller, FixedConfig, World

STORY = "Once upon a time, there was a harbour. It was small. Ships came, and ships went away again. The end."
NOISE = b"\x02\x00"
MEANINGS = {2: ""}


Converse = Callable[[Caller], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Life:
    """What a caller does, and the world that it does it in."""

    converse: Converse
    world: Callable[[Log, JournalSink], World]
    seconds: int
    """It is over within so many, and not within one less."""
    passes_through: frozenset[str]
    """What is counted in it, at least."""


# ---- interruptions, and streams that break ---------------------------------------------------------------------------


async def interrupt(caller: Caller) -> None:
    """Two spoken turns, one of them an interruption, a typed turn, a text spoken as it is, and the end."""
    await caller.speak(400)
    await caller.listen_for(EventKind.SPEAKING)
    await caller.silence(600)
    await caller.speak(500)
    await caller.silence(200)
    await caller.speak(200)
    await caller.listen_for(EventKind.SPEAKING, count=2)
    await caller.send(TextIn("never mind"))
    await caller.send(SpeakIn("Good night.", True))
    await caller.listen_for(EventKind.END_OF_TURN, count=3)
    await caller.half_close()
    await caller.running


def small_world(log: Log, journals: JournalSink) -> World:
    """Small delays everywhere, streams that break, and a buffer that fills."""
    config = CallConfig()
    playout = replace(config.playout, buffer_ms=400)
    return World(
        asr=AsrScript(
            transcripts=["tell me a story", "stop it", "please"], break_after_ms=[300, 200], open_ms=15, take_ms=3
        ),
        llm=LlmScript(replies=[STORY, "All right then.", "As you like."], first_token_ms=60),
        tts=TtsScript(first_chunk_ms=40, ms_per_character=20),
        config=FixedConfig(replace(config, playout=playout)),
        log=log,
        journals=journals,
    )


# ---- what is said without being asked, pauses and keys ---------------------------------------------------------------


async def pause(caller: Caller) -> None:
    """A greeting, an answer under a cough, one that is held, a change of voice, keys, a re-prompt, a farewell."""
    await caller.listen_for(EventKind.END_OF_TURN)
    await caller.speak(400)
    await caller.silence(80)
    await caller.speak(160)
    await caller.listen_for(EventKind.SPEAKING, count=2)
    await caller.silence(100)
    await caller.speak(240, sample=NOISE)
    await caller.listen_for(EventKind.SPEAKING, count=3)
    await caller.send(ControlIn(Wish.PAUSE))
    await caller.send(UpdateIn(Overrides(tts_voice="Aria"), language_code="de-DE"))
    await caller.speak(160)
    await caller.send(ControlIn(Wish.RESUME))
    await caller.silence(160)
    for key in "42#":
        await caller.send(DtmfIn(key))
        await caller.silence(40)
    await caller.silence(60_000)


def talkative_world(log: Log, journals: JournalSink) -> World:
    """Speaks by itself, and judges the sound of the caller's turns."""
    config = CallConfig()
    conversation = ConversationPolicy(
        greeting="Hello.", reprompt="Are you there?", reprompt_after_ms=400, max_reprompts=1, farewell="Bye."
    )
    conversation = replace(conversation, farewell_ms=3_500)
    limits = replace(config.limits, max_call_ms=10_000)
    return World(
        asr=AsrScript(
            transcripts=["tell me a", "story"],
            meanings=MEANINGS,
            final_after_speech_end_ms=None,
            interim_every_ms=60,
            answer_ms=30,
        ),
        llm=LlmScript(replies=[STORY, STORY, "As you like."], first_token_ms=60),
        tts=TtsScript(first_chunk_ms=40, ms_per_character=20),
        config=FixedConfig(replace(config, conversation=conversation, limits=limits)),
        log=log,
        journals=journals,
        turn_model=FakeTurnModel([None, 0.9], answer_ms=30, timeout_ms=60),
    )


# ---- backends that fail ----------------------------------------------------------------------------------------------


async def fail(caller: Caller) -> None:
    """Guesses that are thrown away, requests that go to the second backend, and apologies."""
    for turn in range(1, 3):
        await caller.speak(400)
        await caller.silence(160)
        await caller.speak(160)
        await caller.listen_for(EventKind.END_OF_TURN, count=turn)
    await caller.half_close()
    await caller.running


def failing_world(log: Log, journals: JournalSink) -> World:
    """The first backends stall, break or refuse; the second ones are not much better."""
    return World(
        asr=AsrScript(
            transcripts=["what is", "the time"], break_after_ms=[200, 100], open_ms=None, interim_every_ms=60
        ),
        llm=LlmScript(stall_after_tokens=0, first_token_ms=60),
        tts=TtsScript(stall_on_phrase=0, first_chunk_ms=40, ms_per_character=15),
        log=log,
        journals=journals,
        spares=Spares(
            asr=AsrScript(transcripts=["what is", "the time"], open_ms=15, interim_every_ms=60, break_after_ms=[300]),
            llm=LlmScript(["It is noon. And it is", "It is"], fail_after_tokens=4, faulty_requests=4),
            tts=TtsScript(first_chunk_ms=40, ms_per_character=15, fail_on_phrase=2),
            breaker=BreakerPolicy(failures=1, first_pause_ms=800),
            failover_ms=100,
        ),
    )


LIVES = {
    "interrupt": Life(
        interrupt,
        small_world,
        seconds=4,
        passes_through=frozenset({"asr_BACKEND_UNAVAILABLE", "speculation_wasted"}),
    ),
    "pause": Life(pause, talkative_world, seconds=8, passes_through=frozenset({"speculation_adopted"})),
    "fail": Life(
        fail,
        failing_world,
        seconds=8,
        passes_through=frozenset(
            {
                "failed_over_asr_0_BACKEND_TIMEOUT",
                "failed_over_llm_0_BACKEND_TIMEOUT",
                "failed_over_tts_0_BACKEND_TIMEOUT",
                "apologised_llm_speech",
            }
        ),
    ),
}

"""Random calls: worlds with faults of every kind, and callers who do anything that a client can do."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from gateway_loudspeaker import Loudspeaker

from voice_gateway.application.config import CallConfig, Limits
from voice_gateway.application.messages import (
    AudioIn,
    Capability,
    ControlIn,
    DtmfIn,
    EventKind,
    Hello,
    Inbound,
    Overrides,
    PlayedIn,
    SpeakIn,
    TextIn,
    UpdateIn,
    Wish,
)
from voice_gateway.application.ports import JournalOpening
from voice_gateway.application.resumption import CallMoved
from voice_gateway.domain.breaker import BreakerPolicy
from voice_gateway.domain.errors import (
    BackendBusy,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    GatewayError,
    InvalidMessage,
)
from voice_gateway.domain.events import Event
from voice_gateway.domain.policy import ConversationPolicy, Finalize, TurnPolicy
from voice_gateway.domain.recording import Outcome
from voice_gateway.testing.backends import AsrScript, LlmScript, TtsScript
from voice_gateway.testing.seals import OpenSeal
from voice_gateway.testing.spares import FakeTurnModel, Spares
from voice_gateway.testing.world import ALL_CAPABILITIES, RESUMABLE, Caller, FixedConfig, World

STORY = "Once upon a time, there was a harbour. It was small, and it was old. Ships came at night. The end."
SAID = (
    "what time is it",
    "yes",
    "mhm",
    "stop",
    "can you say that again",
    "my number is four one five",
    "there was a harbour",
    "tell me a story and",
    "",
)
"""Each has a sample value of its own, from 2 on; the empty one is a noise."""
LEGACY: frozenset[Capability] = frozenset()
ERRORS: tuple[type[BackendError], ...] = (BackendUnavailable, BackendRejected, BackendBusy)


@dataclass(slots=True)
class CountedJournals:
    """Keeps nothing, and counts what is opened and closed."""

    opened: int = 0
    recorded: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        return 0

    def open(self, call_id: str, opening: JournalOpening) -> "CountedJournals":
        """Begin."""
        self.opened += 1
        return self

    def record(self, now: int, event: Event) -> None:
        """Count."""
        self.recorded += 1

    def close(self, outcome: Outcome) -> None:
        """End."""
        self.outcomes.append(outcome)


# ---- the world -------------------------------------------------------------------------------------------------------


def random_world(dice: random.Random) -> World:
    """Backends that are slow, break, stall and refuse, and a configuration that uses any part of the gateway."""
    world = World(
        asr=_asr(dice),
        llm=_llm(dice),
        tts=_tts(dice),
        config=FixedConfig(_config(dice)),
        journals=CountedJournals(),
    )
    if dice.random() < 0.4:
        world.turn_model = FakeTurnModel([dice.choice([None, 0.1, 0.9]) for _ in range(5)])
    if dice.random() < 0.4:
        second = dice.random() < 0.7
        world.spares = Spares(
            asr=_asr(dice) if second else None,
            llm=_llm(dice) if second else None,
            tts=_tts(dice) if second else None,
            breaker=BreakerPolicy(failures=dice.choice([1, 3]), first_pause_ms=500),
        )
    return world


def _config(dice: random.Random) -> CallConfig:
    config = CallConfig(limits=Limits(max_call_ms=dice.choice([8_000, 60_000, 60_000])))
    speculation = replace(config.turn.speculation, enabled=dice.random() < 0.8)
    turn: TurnPolicy = replace(
        config.turn,
        finalize=dice.choice(list(Finalize)),
        speculation=speculation,
        interruptible=dice.random() < 0.95,
    )
    conversation = ConversationPolicy(
        greeting=dice.choice(["", "Good morning. How may I help you?"]),
        reprompt=dice.choice(["", "Are you still there?"]),
        reprompt_after_ms=dice.choice([1_000, 5_000]),
        farewell=dice.choice(["", "Time is up."]),
        farewell_ms=dice.choice([2_000, 15_000]),
        key_pause_ms=dice.choice([300, 2_000]),
    )
    playout = replace(config.playout, buffer_ms=dice.choice([300, 10_000]))
    return replace(config, turn=turn, conversation=conversation, playout=playout)


def _asr(dice: random.Random) -> AsrScript:
    return AsrScript(
        meanings=dict(enumerate(SAID, start=2)),
        final_after_speech_end_ms=dice.choice([None, 130, 300, 600]),
        first_pass_after_speech_end_ms=dice.choice([None, None, 150]),
        honours_force_eou=dice.random() < 0.7,
        answer_ms=dice.choice([5, 60, 500]),
        interim_every_ms=dice.choice([60, 200, 800]),
        break_after_ms=[dice.randrange(100, 900) for _ in range(dice.choice([0, 0, 1, 2, 5]))],
        error=dice.choice(ERRORS)("asr", "It broke."),
        deaf=dice.random() < 0.1,
        refuse=dice.choice(ERRORS)("asr", "It refused.") if dice.random() < 0.1 else None,
        open_ms=dice.choice([0, 0, 30, 400, None]) if dice.random() < 0.5 else 0,
        take_ms=dice.choice([0, 0, 2, 30]),
    )


def _llm(dice: random.Random) -> LlmScript:
    return LlmScript(
        replies=dice.sample([STORY, "Yes.", "It is noon, I think.", "", "... !", "Shall I book it?"], 3),
        first_token_ms=dice.choice([0, 50, 120, 3_000]),
        token_interval_ms=dice.choice([0, 10, 80]),
        fail_after_tokens=dice.choice([0, 1, 5]) if dice.random() < 0.15 else None,
        stall_after_tokens=dice.choice([0, 2]) if dice.random() < 0.1 else None,
        faulty_requests=dice.choice([None, 1, 2]),
        error=dice.choice(ERRORS)("llm", "It broke."),
    )


def _tts(dice: random.Random) -> TtsScript:
    return TtsScript(
        first_chunk_ms=dice.choice([0, 80, 600]),
        speed=dice.choice([0.8, 1.5, 5.0]),
        ms_per_character=dice.choice([10, 30]),
        word_timings=dice.random() < 0.5,
        fail_on_phrase=dice.choice([0, 1, 2]) if dice.random() < 0.15 else None,
        stall_on_phrase=dice.choice([0, 1]) if dice.random() < 0.1 else None,
        mute=dice.random() < 0.05,
    )


# ---- the caller ------------------------------------------------------------------------------------------------------

Deed = Callable[[Caller, random.Random], Awaitable[None]]


async def _speak(caller: Caller, dice: random.Random) -> None:
    value = 2 + dice.randrange(len(SAID))
    length_ms = dice.choice([60, 140, 220, 500, 900, 2_000])
    await caller.speak(length_ms, paced=dice.random() < 0.8, sample=value.to_bytes(2, "little"))


async def _be_silent(caller: Caller, dice: random.Random) -> None:
    await caller.silence(dice.choice([100, 300, 700, 1_500]), paced=dice.random() < 0.8)


async def _text(caller: Caller, dice: random.Random) -> None:
    texts: list[Inbound] = [
        TextIn("what now"),
        TextIn("say that again"),
        TextIn(""),
        SpeakIn("Mind the gap.", dice.random() < 0.5),
    ]
    await caller.send(dice.choice(texts))


async def _press_keys(caller: Caller, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 6)):
        await caller.send(DtmfIn(dice.choice("0123456789*#")))
        await caller.silence(dice.choice([0, 100, 400]))


async def _control(caller: Caller, dice: random.Random) -> None:
    await caller.send(ControlIn(dice.choice(list(Wish))))


async def _hold(caller: Caller, dice: random.Random) -> None:
    await caller.send(ControlIn(Wish.PAUSE))
    await dice.choice([_speak, _be_silent, _press_keys, _text])(caller, dice)
    await caller.send(ControlIn(Wish.RESUME))


async def _update(caller: Caller, dice: random.Random) -> None:
    wishes = [
        UpdateIn(Overrides(tts_voice="Aria", endpoint_silence_ms=300)),
        UpdateIn(Overrides(llm_temperature=1.0), language_code="de-DE"),
        UpdateIn(Overrides(llm_temperature=9.0)),
        UpdateIn(Overrides(), language_code="no language"),
    ]
    await caller.send(dice.choice(wishes))


async def _odd(caller: Caller, dice: random.Random) -> None:
    odd: list[Inbound | InvalidMessage] = [
        DtmfIn("x"),
        InvalidMessage("No content."),
        AudioIn(b"\x01"),
        PlayedIn(dice.randrange(4), dice.randrange(50_000)),
    ]
    await caller.send(dice.choice(odd))


async def _not_read(caller: Caller, dice: random.Random) -> None:
    caller.transport.flowing.clear()
    await asyncio.sleep(dice.choice([0.1, 2, 6]))
    caller.transport.flowing.set()


async def _not_send(caller: Caller, dice: random.Random) -> None:
    await asyncio.sleep(dice.choice([0.05, 0.7, 3]))


async def _listen(caller: Caller, dice: random.Random) -> None:
    await caller.listen_for(EventKind.END_OF_TURN, count=caller.transport.events().count("end_of_turn") + 1)


async def _break_the_rules(caller: Caller, dice: random.Random) -> None:
    breaches: list[Inbound] = [Hello(), AudioIn(bytes(70_000))]
    await caller.send(dice.choice(breaches))


async def _drain(caller: Caller, dice: random.Random) -> None:
    deadline_ms = dice.choice([0, 500, 20_000])
    await caller.call.drain(deadline_ms=deadline_ms, resumable_ms=deadline_ms)


async def _never_read(caller: Caller, dice: random.Random) -> None:
    caller.transport.flowing.clear()
    await asyncio.wait((caller.running,), timeout=20)
    caller.transport.flowing.set()


DEEDS: dict[Deed, int] = {
    _speak: 80,
    _be_silent: 80,
    _text: 20,
    _press_keys: 15,
    _control: 25,
    _hold: 15,
    _update: 15,
    _odd: 15,
    _not_read: 15,
    _not_send: 15,
    _listen: 12,
    _break_the_rules: 3,
    _drain: 2,
    _never_read: 2,
}
"""How often a caller does each."""


@dataclass(slots=True)
class RandomCall:
    """A call that is over."""

    world: World
    caller: Caller
    reason: str
    """What it ended with; empty where it ended well."""
    deeds: Counter[str]


async def random_call(seed: int) -> RandomCall:
    """One call, from its start to its end."""
    dice = random.Random(seed)
    world = random_world(dice)
    capabilities = dice.choice([ALL_CAPABILITIES, LEGACY])
    if capabilities and seed % 2:
        # Some clients keep checkpoints, and are asked to go elsewhere in a drain.
        capabilities, world.seal = RESUMABLE, OpenSeal()
    hello = Hello(sample_rate_hz=16_000, capabilities=capabilities)
    jitter_ms, deeds, reason = dice.choice([0, 100, 400]), Counter[str](), ""
    try:
        async with world.call(hello) as caller:
            loudspeaker = Loudspeaker(caller, jitter_ms=jitter_ms, dice=random.Random(seed))
            listening = asyncio.create_task(loudspeaker.run(), name="loudspeaker")
            try:
                for deed in dice.choices(list(DEEDS), list(DEEDS.values()), k=dice.randrange(3, 16)):
                    if not caller.running.done():
                        deeds[deed.__name__] += 1
                        await deed(caller, dice)
                await caller.half_close()
                await asyncio.wait((caller.running,))
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening
    except GatewayError as error:
        reason = error.reason
    except CallMoved:
        reason = "MOVED"
    return RandomCall(world, caller, reason, deeds)

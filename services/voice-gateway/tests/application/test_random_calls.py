"""Hundreds of calls: callers do anything, backends fail in every way. Each call ends, and keeps the rules."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from gateway_playback import acknowledge

from servicekit.testing import run_virtual
from voice_gateway.application.config import CallConfig, Limits
from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioIn,
    AudioOut,
    Capability,
    ControlIn,
    DtmfIn,
    EventKind,
    EventOut,
    Hello,
    Inbound,
    LatencyOut,
    PlaybackOut,
    PlaybackVerb,
    PlayedIn,
    SpeakIn,
    TextIn,
    TranscriptOut,
    Wish,
)
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import decode
from voice_gateway.domain.errors import BackendBusy, BackendRejected, BackendUnavailable, GatewayError, InvalidMessage
from voice_gateway.domain.journal import snapshot
from voice_gateway.domain.policy import Finalize
from voice_gateway.domain.turn import TurnMachine
from voice_gateway.testing.backends import AsrScript, LlmScript, TtsScript
from voice_gateway.testing.world import ALL_CAPABILITIES, Caller, FixedConfig, World

CALLS = 300
GROUPS = 10

STORY = "Once upon a time, there was a harbour. It was small, and it was old. Ships came at night. The end."
LEGACY: frozenset[Capability] = frozenset()

ENDS = {"", "SLOW_CONSUMER", "DRAINING", "CALL_TOO_LONG", "CHUNK_TOO_LARGE", "UNEXPECTED_MESSAGE"}


def random_world(dice: random.Random) -> World:
    config = CallConfig(limits=Limits(max_call_ms=dice.choice([8_000, 60_000, 60_000])))
    turn = replace(config.turn, finalize=dice.choice(list(Finalize)))
    playout = replace(config.playout, buffer_ms=dice.choice([300, 10_000]))
    errors = [BackendUnavailable, BackendRejected, BackendBusy]
    asr = AsrScript(
        transcripts=dice.sample(["what time is it", "yes", "tell me more", "stop", "a b c d e f g"], 3),
        final_after_speech_end_ms=dice.choice([None, 130, 300, 600]),
        honours_force_eou=dice.random() < 0.7,
        answer_ms=dice.choice([5, 60, 500]),
        interim_every_ms=dice.choice([60, 200, 800]),
        break_after_ms=[dice.randrange(100, 900) for _ in range(dice.choice([0, 0, 1, 2, 5]))],
        error=dice.choice(errors)("asr", "It broke."),
        deaf=dice.random() < 0.1,
        refuse=dice.choice(errors)("asr", "It refused.") if dice.random() < 0.1 else None,
        open_ms=dice.choice([0, 0, 30, 400, None]) if dice.random() < 0.5 else 0,
        take_ms=dice.choice([0, 0, 2, 30]),
    )
    llm = LlmScript(
        replies=dice.sample([STORY, "Yes.", "It is noon, I think.", "", "... !"], 3),
        first_token_ms=dice.choice([0, 50, 120, 3_000]),
        token_interval_ms=dice.choice([0, 10, 80]),
        fail_after_tokens=dice.choice([0, 1, 5]) if dice.random() < 0.15 else None,
        stall_after_tokens=dice.choice([0, 2]) if dice.random() < 0.1 else None,
        error=dice.choice(errors)("llm", "It broke."),
    )
    tts = TtsScript(
        first_chunk_ms=dice.choice([0, 80, 600]),
        speed=dice.choice([0.8, 1.5, 5.0]),
        ms_per_character=dice.choice([10, 30]),
        word_timings=dice.random() < 0.5,
        fail_on_phrase=dice.choice([0, 1, 2]) if dice.random() < 0.15 else None,
        stall_on_phrase=dice.choice([0, 1]) if dice.random() < 0.1 else None,
        mute=dice.random() < 0.05,
    )
    return World(asr=asr, llm=llm, tts=tts, config=FixedConfig(replace(config, turn=turn, playout=playout)))


async def act(caller: Caller, dice: random.Random) -> None:
    """One thing that a caller does."""
    paced = dice.random() < 0.8
    match dice.randrange(16):
        case 0 | 1 | 2 | 3:
            await caller.speak(dice.choice([60, 140, 220, 500, 900]), paced=paced)
        case 4 | 5 | 6 | 7 | 8:
            await caller.silence(dice.choice([100, 300, 700, 1_500]), paced=paced)
        case 9:
            texts: list[Inbound] = [TextIn("what now"), TextIn(""), SpeakIn("Mind the gap.", dice.random() < 0.5)]
            await caller.send(dice.choice(texts))
        case 10:
            await caller.send(ControlIn(dice.choice(list(Wish))))
        case 11:
            await caller.send(PlayedIn(dice.randrange(4), dice.randrange(50_000)))
        case 12:
            odd: list[Inbound | InvalidMessage] = [DtmfIn("1"), InvalidMessage("No content."), AudioIn(b"\x01")]
            await caller.send(dice.choice(odd))
        case 13:
            caller.transport.flowing.clear()
            await asyncio.sleep(dice.choice([0.1, 2, 6]))
            caller.transport.flowing.set()
        case 14:
            await asyncio.sleep(dice.choice([0.05, 0.7, 3]))
        case _:
            await rare(caller, dice)


async def rare(caller: Caller, dice: random.Random) -> None:
    match dice.randrange(8):
        case 0:
            await caller.send(Hello())
        case 1:
            await caller.send(AudioIn(bytes(70_000)))
        case 2:
            await caller.call.drain(deadline_ms=dice.choice([0, 500, 20_000]))
        case 3:
            caller.transport.flowing.clear()
            await asyncio.wait((caller.running,), timeout=20)
            caller.transport.flowing.set()
        case _:
            await caller.listen_for(EventKind.END_OF_TURN, count=caller.transport.events().count("end_of_turn") + 1)


@dataclass(slots=True)
class Heard:
    """What a caller received, checked message by message."""

    turn: int = 0
    """The turn that is being answered; 0 when none is."""
    spoke: bool = False
    """SPEAKING was told of it."""
    ended: set[int] = field(default_factory=set)
    """Turns that END_OF_TURN was told of: nothing of them may follow."""
    generation: int = 0
    samples: int = 0
    fatal: bool = False

    def take(self, message: object) -> None:
        assert not self.fatal, "nothing follows a fatal error"
        match message:
            case EventOut(turn=turn, kind=kind, fatal=fatal):
                self.fatal = fatal
                self._event(turn, kind)
            case TranscriptOut(turn=turn, text=text):
                assert text
                assert turn not in self.ended
            case AnswerTextOut(turn=turn):
                assert turn not in self.ended
            case AudioOut(turn=turn, generation=generation, first_sample=first_sample, pcm=pcm):
                assert self.spoke, "SPEAKING comes before audio"
                assert turn == self.turn
                assert generation >= self.generation
                if generation > self.generation:
                    self.generation, self.samples = generation, 0
                assert first_sample == self.samples, "no audio is lost or sent twice"
                assert pcm
                assert len(pcm) % 2 == 0
                self.samples += len(pcm) // 2
            case PlaybackOut(generation=generation, verb=PlaybackVerb.FLUSH):
                assert generation > self.generation
                self.generation, self.samples = generation, 0
            case LatencyOut(report=report):
                assert report.turn in self.ended
            case _:
                pass

    def _event(self, turn: int, kind: EventKind) -> None:
        match kind:
            case EventKind.PROCESSING:
                assert turn not in self.ended
                assert not self.turn, "one turn at a time"
                self.turn, self.spoke = turn, False
            case EventKind.SPEAKING:
                # A text that is spoken as it is has no PROCESSING before it.
                assert self.turn in (0, turn)
                self.turn, self.spoke = turn, True
            case EventKind.END_OF_TURN:
                assert self.turn in (0, turn)
                assert turn not in self.ended, "a turn ends once"
                self.ended.add(turn)
                self.turn, self.spoke = 0, False
            case _:
                pass


def assert_the_rules_are_kept(world: World, caller: Caller) -> None:
    heard = Heard()
    for item in caller.transport.received:
        heard.take(item.message)
    seen = Counter(entry.what for entry in world.log.entries)
    for kind in ("asr_opened", "llm_request", "tts_request"):
        closed = f"{kind.partition('_')[0]}_closed"
        assert seen[kind] == seen[closed], kind
    assert caller.call.machine.finished
    assert not caller.call.hearing.recognitions
    replayed = TurnMachine(state=decode(CallState, caller.call.journal.opening))
    for now, event in caller.call.journal.entries:
        replayed.handle(event, now=now)
    assert snapshot(replayed) == snapshot(caller.call.machine), "the journal tells the whole call"


async def one_call(seed: int) -> str:
    dice = random.Random(seed)
    world = random_world(dice)
    hello = Hello(sample_rate_hz=16_000, capabilities=dice.choice([ALL_CAPABILITIES, LEGACY]))
    reason = ""
    try:
        async with world.call(hello) as caller:
            loudspeaker = asyncio.create_task(acknowledge(caller))
            try:
                for _ in range(dice.randrange(3, 14)):
                    if not caller.running.done():
                        await act(caller, dice)
            finally:
                loudspeaker.cancel()
    except GatewayError as error:
        reason = error.reason
    assert_the_rules_are_kept(world, caller)
    assert reason in ENDS, reason
    return reason


@pytest.mark.parametrize("group", range(GROUPS))
def test_any_call_ends_and_keeps_the_rules(group: int) -> None:
    each = CALLS // GROUPS
    ends = Counter(run_virtual(one_call(seed), limit_s=600) for seed in range(group * each, (group + 1) * each))
    assert ends[""] > 0

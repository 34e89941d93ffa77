"""A thousand calls: callers do anything, backends fail in every way. Each ends, keeps the rules and leaves nothing."""

import gc
import sys
from collections import Counter
from functools import _lru_cache_wrapper

import pytest
from gateway_random_calls import CountedJournals, RandomCall, random_call
from gateway_received import Received

from servicekit.testing import run_virtual
from voice_gateway.application.messages import EventOut
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import decode
from voice_gateway.domain.journal import snapshot
from voice_gateway.domain.turn import TurnMachine

CALLS = 1_000
GROUPS = 10
WARM_CALLS = 20
"""Of a group: after them, what is alive between two calls stays what it is."""
BLOCKS_PER_CALL = 25
"""Python's allocated blocks that a call may leave behind: 1 to 8 are what the tests themselves keep."""

OURS = {"voice_gateway", "servicekit", "gateway_random_calls", "gateway_loudspeaker"}

ENDS = {"", "SLOW_CONSUMER", "DRAINING", "CALL_TOO_LONG", "CHUNK_TOO_LARGE", "UNEXPECTED_MESSAGE", "MOVED"}


def assert_the_rules_are_kept(call: RandomCall) -> None:
    received = Received()
    for item in call.caller.transport.received:
        received.take(item.message)
    machine, journal = call.caller.call.machine, call.caller.call.journal
    assert machine.finished
    replayed = TurnMachine(state=decode(CallState, journal.opening))
    for now, event in journal.entries:
        replayed.handle(event, now=now)
    assert snapshot(replayed) == snapshot(machine), "the journal tells the whole call"


def assert_it_ended_for_a_reason(call: RandomCall) -> None:
    assert call.reason in ENDS
    received = [item.message for item in call.caller.transport.received]
    fatal = [message.reason for message in received if isinstance(message, EventOut) and message.fatal]
    wanted = [call.reason] if call.reason not in ("", "MOVED") else []
    always_reads = not call.deeds["_not_read"] and not call.deeds["_never_read"]
    assert fatal in ([wanted] if always_reads else [wanted, []])
    journals = call.world.journals
    assert isinstance(journals, CountedJournals)
    assert journals.opened == 1
    assert [outcome.status for outcome in journals.outcomes] == [call.reason.lower() or "ok"]


def assert_nothing_is_left(call: RandomCall) -> None:
    seen = Counter(entry.what for entry in call.world.log.entries)
    for kind in ("asr_opened", "llm_request", "tts_request"):
        assert seen[kind] == seen[f"{kind.partition('_')[0]}_closed"], kind
    running = call.caller.call
    assert not running.hearing.recognitions
    assert running.inbox.depth == 0 or call.reason
    assert running.downlink.depth == 0 or call.reason


def alive() -> Counter[str]:
    """Instances of our own classes, by class, apart from what bounded caches keep."""
    # By type(), since isinstance() asks the object too, and there are some that import a package when they are asked.
    for cache in [item for item in gc.get_objects() if type(item) is _lru_cache_wrapper]:
        if cache.__module__.startswith("voice_gateway"):
            assert cache.cache_parameters()["maxsize"] is not None, f"{cache.__qualname__} grows for ever"
            cache.cache_clear()
    gc.collect()
    return Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in map(type, gc.get_objects())
        if str(kind.__module__).partition(".")[0] in OURS
    )


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.timeout(180)
def test_any_call_ends_and_leaves_nothing(group: int) -> None:
    each = CALLS // GROUPS
    ends, deeds, kept, blocks = Counter[str](), Counter[str](), Counter[str](), 0
    for number, seed in enumerate(range(group * each, (group + 1) * each)):
        if number == WARM_CALLS:
            kept, blocks = alive(), sys.getallocatedblocks()
        call = run_virtual(random_call(seed), limit_s=600)
        assert_the_rules_are_kept(call)
        assert_it_ended_for_a_reason(call)
        assert_nothing_is_left(call)
        ends[call.reason] += 1
        deeds += call.deeds
        del call
    grown = alive() - kept
    assert not grown, "objects of ours that no call needs any more"
    assert sys.getallocatedblocks() - blocks <= BLOCKS_PER_CALL * (each - WARM_CALLS)
    assert ends[""] > each // 3
    assert min(deeds.values()) > 0

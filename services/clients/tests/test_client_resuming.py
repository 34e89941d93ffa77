"""A call that survives its connections, on virtual time and connections without a network."""

import asyncio
from itertools import pairwise

import pytest
from client_fake_network import DOWN, FROZEN, STUCK, UNCONNECTABLE, FakeLine, FakeNetwork, refused_resume
from client_resuming_calls import CHUNK, RATE, Caller, calling, check_audio, samples, settle, virtual
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_clients.caller import LEGACY, CallConfig
from voice_clients.errors import (
    BadRequestError,
    CallError,
    ConnectionLostError,
    GatewayFullError,
    NoCredentialError,
    NotAllowedError,
)
from voice_clients.events import CallEvent, Capability, Cause, Ended, Lost, Resumed, Session
from voice_clients.resuming import ResumeOptions
from voice_clients.resumption import BACKOFF_S, CONNECT_S, SILENT_AFTER_S

# ---- the microphone -------------------------------------------------------------------------------------------------


def test_speech_is_replayed_from_where_the_state_accounts_for_it() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            await caller.speak(50)
            caller.line.checkpoint(b"t1", 40 * CHUNK)
            caller.line.checkpoint(b"", 45 * CHUNK + 7)
            await settle()
            network.script = [DOWN] * 5
            caller.line.dies()
            await caller.speak(20)  # while nobody answers
            await settle(1.0)
            await caller.speak(10)
            first, second = network.lines
            check_audio(first.heard, 0, 50 * CHUNK)
            resume = second.config.resume
            assert resume is not None
            assert (resume.token, resume.first_sample) == (b"t1", 45 * CHUNK + 7)
            check_audio(second.heard, 45 * CHUNK + 7, 80 * CHUNK)
            assert 50 * CHUNK <= resume.through_sample <= 70 * CHUNK
            assert len(second.heard[0][1]) > 2 * CHUNK, "what was kept comes in larger messages"
            assert second.heard[-1][1] == samples(79 * CHUNK)

    run()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("speak"), st.integers(1, 40)),
            st.tuples(st.just("account"), st.integers(0, 3 * CHUNK)),
            st.tuples(st.just("die"), st.integers(0, 3)),
            st.tuples(st.just("silence"), st.just(0)),
            st.tuples(st.just("block"), st.just(0)),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_however_it_is_cut_no_sample_is_missing_or_moved(steps: list[tuple[str, int]]) -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1"))
        accounted: dict[FakeLine | None, int] = {None: 0}
        newest = 0
        async with calling(network, ResumeOptions(resume_for_s=60.0)) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            for what, number in steps:
                if what == "speak":
                    await caller.speak(number)
                elif what == "account":
                    newest = max(newest, caller.spoken - number)
                    caller.line.checkpoint(b"t", newest)
                    await settle()
                elif what == "die":
                    network.script = [DOWN] * number
                    caller.line.dies()
                    await settle()
                elif what == "block":
                    caller.line.blocked = asyncio.Event()
                else:
                    await settle(1.6)
                caller.line.checkpoint(b"", 0)
            if caller.line.blocked is not None:
                caller.line.blocked.set()
            await settle(3.0)
            await caller.speak(1)
            # Back-off goes on where one loss follows another: three refusals may take 8 s. A line that is silent would
            # be left, perhaps just now.
            for _ in range(40):
                caller.line.checkpoint(b"", 0)
                await settle(0.4)
            for line in network.lines:
                resume = line.config.resume
                accounted[line] = resume.first_sample if resume is not None else 0
                position = accounted[line]
                for at, pcm in line.heard:
                    assert at == position, "in order, and without a gap"
                    assert pcm == samples(at, len(pcm) // 2)
                    position += len(pcm) // 2
            assert position == caller.spoken, "the last connection was told everything"
            assert accounted[network.lines[-1]] <= newest or len(network.lines) == 1

    run()


def test_what_is_kept_has_a_bound_and_the_person_is_told() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network, ResumeOptions(resume_for_s=10.0, keep_s=1.0)) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [DOWN] * 7
            caller.line.dies()
            await caller.speak(100)
            await settle(4.0)
            assert caller.of(Resumed)[0].forgotten_ms >= 400
            resume = network.lines[1].config.resume
            assert resume is not None
            assert resume.first_sample == resume.through_sample - RATE
            check_audio(network.lines[1].heard, resume.first_sample, 100 * CHUNK)

    run()


def test_a_file_waits_for_a_connection() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network, ResumeOptions(resume_for_s=10.0, live=False)) as caller:
            caller.line.checkpoint(b"t", 0)
            await caller.speak(3, 0.0)
            network.script = [DOWN] * 5
            caller.line.dies()
            await settle()
            begun_s = asyncio.get_running_loop().time()
            await caller.speak(3, 0.0)
            assert asyncio.get_running_loop().time() - begun_s > 0.4
            await settle()
            check_audio(caller.line.heard, 0, 6 * CHUNK)

    run()


# ---- losing and finding ---------------------------------------------------------------------------------------------


def test_a_reset_is_resumed_at_the_next_address_at_once() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1", "c:1"))
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle(0.4)

            def stop(event: CallEvent) -> None:
                if isinstance(event, Lost):
                    caller.call.note_played(2, 480)

            caller.on_event = stop
            caller.line.dies("UNAVAILABLE")
            await settle()
            assert [target for _, target in network.dialled] == ["a:1", "b:1"]
            (lost,), (resumed,) = caller.of(Lost), caller.of(Resumed)
            assert (lost.cause, resumed.cause, resumed.attempts, resumed.address) == (
                Cause.RESET,
                Cause.RESET,
                1,
                "b:1",
            )
            assert resumed.gap_ms == pytest.approx(400, abs=5)
            assert Capability.CHECKPOINTS in caller.line.config.capabilities
            resume = caller.line.config.resume
            assert resume is not None
            assert (resume.played_generation, resume.played_samples, resume.gap_ms) == (2, 480, 400)
            names = [type(event).__name__ for event in caller.events]
            assert names == ["Session", "Lost", "Resumed", "Session"]
            assert caller.call.is_connected

    run()


def test_a_second_and_a_half_of_nothing_is_a_loss_and_heartbeats_are_not_nothing() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1"))
        async with calling(network) as caller:
            for _ in range(20):
                caller.line.checkpoint(b"t", 0)
                await settle(0.5)
            assert caller.of(Lost) == []
            await settle(0.95)
            assert caller.of(Lost) == []
            await settle(0.1)
            (resumed,) = caller.of(Resumed)
            assert resumed.cause is Cause.SILENCE
            assert resumed.gap_ms == pytest.approx(1500, abs=10)
            assert network.lines[0].closed_s is not None

    run()


def test_a_gateway_that_takes_the_connection_and_freezes_costs_its_time_out_only() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1", "c:1", "d:1"))
        async with calling(network, ResumeOptions(resume_for_s=10.0)) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [UNCONNECTABLE, FROZEN]
            caller.line.dies()
            await settle(3.0)
            assert network.dialled[1][1] == "b:1"
            assert network.dialled[2][0] - network.dialled[1][0] == pytest.approx(CONNECT_S[0] + BACKOFF_S[1], abs=0.01)
            frozen_s = network.dialled[3][0] - network.dialled[2][0]
            assert frozen_s == pytest.approx(SILENT_AFTER_S + BACKOFF_S[2], abs=0.02)
            (resumed,) = caller.of(Resumed)
            assert (resumed.attempts, resumed.address) == (3, "d:1")

    run()


def test_a_connection_that_takes_long_is_given_longer_at_last() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network, ResumeOptions(resume_for_s=30.0)) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.takes_s = 1.2
            caller.line.dies()
            await settle(6.5)
            assert network.waited_s[1:7] == [0.5, 0.5, 0.5, 0.5, 1.0, 2.0]
            assert caller.of(Resumed)[0].attempts == 6

    run()


def test_a_hand_over_opens_the_new_connection_before_it_leaves_the_old_one() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1"), [])
        async with calling(network) as caller:
            old = caller.line
            old.goes_away()
            await settle()
            assert not caller.of(Lost), "without a checkpoint it only announces"
            await caller.speak(5)
            network.script = [UNCONNECTABLE]
            old.goes_away(b"moved", 3 * CHUNK)
            await caller.speak(10)
            assert not old.closed
            await settle(1.0)
            assert round(old.closed_s or 0.0, 3) >= network.dialled[-1][0]
            (resumed,) = caller.of(Resumed)
            assert resumed.cause is Cause.GO_AWAY
            resume = caller.line.config.resume
            assert resume is not None
            assert (resume.token, resume.first_sample) == (b"moved", 3 * CHUNK)
            check_audio(caller.line.heard, 3 * CHUNK, 15 * CHUNK)

    run()


def test_what_is_wished_while_a_call_is_handed_over_is_told_to_the_next_gateway_once() -> None:
    """The one that sent it away listens no more, and the connection to it still stands."""

    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1"))
        async with calling(network) as caller:
            old = caller.line
            old.checkpoint(b"t", 0)
            await settle()
            network.script = [UNCONNECTABLE]
            old.goes_away(b"moved")
            await settle()
            told = len(old.sent)
            await caller.call.press("5")
            await caller.call.speak("hello")
            await caller.call.send_text("a typed turn")
            assert len(old.sent) == told
            await settle(1.0)
            wished = [item.WhichOneof("content") for item in caller.line.sent]
            assert wished == ["dtmf", "speak", "text_input"]
            network.script = []
            caller.line.dies()
            await settle(1.0)
            assert [item.WhichOneof("content") for item in caller.line.sent] == ["text_input"]

    run()


def test_a_gateway_that_takes_no_config_is_left() -> None:
    """A large checkpoint does not fit into what HTTP/2 takes unread: the first message of all may wait."""

    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1"))
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [STUCK]
            caller.line.dies()
            await settle(3.0)
            (resumed,) = caller.of(Resumed)
            assert (resumed.address, resumed.attempts) == ("a:1", 2)

    run()


def test_full_gateways_are_passed_over() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1", "c:1"))
        async with calling(network, ResumeOptions(resume_for_s=10.0)) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            full = GatewayFullError("full", retry_after_ms=2_000)
            network.script = [full, full, full]
            caller.line.dies()
            await settle(3.0)
            assert [target for _, target in network.dialled] == ["a:1", "b:1", "c:1", "a:1", "b:1"]
            assert network.dialled[4][0] - network.dialled[1][0] == pytest.approx(2.0)
            (resumed,) = caller.of(Resumed)
            assert resumed.attempts == 4

    run()


def test_the_first_call_goes_to_the_first_gateway_with_room() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1", "c:1"), [DOWN, GatewayFullError("full")])
        async with calling(network) as caller:
            await caller.speak(3)
            assert [target for _, target in network.dialled] == ["a:1", "b:1", "c:1"]
            assert [type(event) for event in caller.events] == [Session]
            check_audio(caller.line.heard, 0, 3 * CHUNK)

    run()


def test_callers_can_begin_at_different_gateways() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1", "c:1"))
        async with calling(network, ResumeOptions(start=4)) as caller:
            assert caller.line.address.target == "b:1"

    run()


def test_a_second_loss_right_after_the_first_waits_longer() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            died_s = []
            for _ in range(4):
                await caller.speak(2)
                died_s.append(asyncio.get_running_loop().time())
                caller.line.dies("INTERNAL")
                await settle(1.0)
            waits_s = [at_s - died for (at_s, _), died in zip(network.dialled[1:], died_s, strict=True)]
            assert waits_s[0] < 0.01
            assert all(before < after for before, after in pairwise(waits_s))
            assert waits_s[-1] > 0.05
            assert len(caller.of(Resumed)) == 4
            check_audio(caller.line.heard, 0, 8 * CHUNK)

    run()


# ---- how it ends ----------------------------------------------------------------------------------------------------


def last_error(caller: Caller) -> CallError:
    ended = caller.events[-1]
    assert isinstance(ended, Ended)
    assert ended.error is not None
    return ended.error


def test_when_time_is_up_the_call_ends_as_it_would_have() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [DOWN] * 100
            caller.line.dies()
            await settle(6.0)
            error = last_error(caller)
            assert isinstance(error, ConnectionLostError)
            assert error.retryable
            words = "broke off (UNAVAILABLE) The call could not be resumed within 5 s. Nothing listens at a:1."
            assert str(error) == words
            assert caller.call.is_given_up
            with pytest.raises(ConnectionLostError):
                await caller.call.send_audio(samples(0))

    run()


def test_a_refused_checkpoint_is_not_tried_elsewhere() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(("a:1", "b:1"))
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [refused_resume()]
            caller.line.dies()
            await settle(1.0)
            error = last_error(caller)
            assert isinstance(error, BadRequestError)
            assert (error.reason, len(network.dialled)) == ("RESUME_REFUSED", 2)

    run()


@pytest.mark.parametrize("renewed", [False, True])
def test_a_token_that_is_refused_is_another_one_soon_if_it_is_in_a_file(renewed: bool) -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(renews_credentials=renewed)
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [NotAllowedError("expired"), NoCredentialError("is being written")]
            caller.line.dies()
            await settle(1.0)
            if renewed:
                (resumed,) = caller.of(Resumed)
                assert resumed.attempts == 3
            else:
                assert isinstance(last_error(caller), NotAllowedError)
                assert len(network.dialled) == 2

    run()


def test_a_gateway_that_begins_anew_has_refused() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(resumes=False)
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            caller.line.dies()
            await settle(1.0)
            assert last_error(caller).reason == "RESUME_REFUSED"
            assert network.lines[1].closed_s is not None
            assert network.lines[1].heard == []

    run()


@pytest.mark.parametrize("code", ["OK", "INVALID_ARGUMENT", "ABORTED", "OUT_OF_RANGE"])
def test_an_end_that_is_an_answer_is_the_end(code: str) -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            caller.line.dies(code)
            await settle(1.0)
            assert isinstance(caller.events[-1], Ended)
            assert (caller.events[-1].code, len(network.dialled)) == (code, 1)
            assert not caller.call.is_given_up

    run()


def test_a_gateway_without_checkpoints_is_called_as_ever() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork(checkpoints=False)
        async with calling(network) as caller:
            await caller.speak(2000)  # 40 s in which it says nothing
            assert caller.of(Lost) == []
            check_audio(caller.line.heard, 0, 2000 * CHUNK)
            caller.line.dies()
            await settle(1.0)
            assert isinstance(last_error(caller), ConnectionLostError)
            assert len(network.dialled) == 1

    run()


@pytest.mark.parametrize(
    ("config", "resume_for_s"), [(CallConfig(capabilities=LEGACY), 30.0), (CallConfig(), 0.0)], ids=["legacy", "off"]
)
def test_who_does_not_resume_announces_and_sends_nothing_of_it(config: CallConfig, resume_for_s: float) -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network, ResumeOptions(resume_for_s=resume_for_s), config) as caller:
            await caller.speak(3)
            assert Capability.CHECKPOINTS not in caller.line.config.capabilities
            assert [first for first, _ in caller.line.heard] == [0, 0, 0]
            caller.line.checkpoint(b"t", 0)
            await settle(5.0)
            caller.line.dies()
            await settle(1.0)
            assert len(network.dialled) == 1
            assert isinstance(last_error(caller), ConnectionLostError)

    run()


def test_a_caller_that_leaves_while_it_is_resumed_leaves_nothing_behind() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            network.script = [FROZEN]
            caller.line.dies()
            await settle(0.2)
            assert len(network.lines) == 2
        # `calling` checks that both are closed.

    run()

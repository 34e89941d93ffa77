"""What a caller wishes around the loss of a connection: told again where it must be, and never twice."""

from client_fake_network import DOWN, FakeNetwork
from client_resuming_calls import CHUNK, calling, check_audio, settle, virtual

from voice_clients.events import Event, EventKind, Lost
from voice_contracts import voice_workflow_pb2 as pb


def test_a_half_close_is_said_again() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            await caller.speak(5)
            caller.line.checkpoint(b"t", 2 * CHUNK)
            await caller.call.half_close()
            await settle()
            assert caller.line.half_closed
            caller.line.dies()
            await settle(0.5)
            assert caller.line.half_closed
            check_audio(caller.line.heard, 2 * CHUNK, 5 * CHUNK)
            caller.line.dies("OK")
            await settle()
            assert caller.events[-1].error is None  # type: ignore[union-attr]

    run()


def test_what_is_typed_without_a_connection_arrives_in_order_and_after_the_speech() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            await caller.speak(3)
            caller.line.checkpoint(b"t", 0)
            await caller.call.send_text("one")
            await settle()
            network.script = [DOWN]
            caller.line.dies()
            await settle()
            await caller.call.send_text("two")
            await settle(1.0)
            await caller.call.send_text("three")
            assert caller.line.texts == ["one", "two", "three"], "no checkpoint accounts for the first"
            kinds = [item.WhichOneof("content") for item in caller.line.sent]
            assert kinds.index("text_input") > kinds.index("audio_chunk")

    run()


def test_a_typed_turn_that_a_checkpoint_holds_is_not_said_again() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            await caller.call.send_text("one")
            caller.line.event(EventKind.PROCESSING, turn=1)
            caller.line.checkpoint(b"t", 0)
            await settle()
            caller.line.dies()
            await settle(0.5)
            assert caller.line.texts == []

    run()


def test_hold_is_said_again_and_an_interruption_that_was_taken_is_not() -> None:
    @virtual
    async def run() -> None:
        network = FakeNetwork()
        async with calling(network) as caller:
            caller.line.checkpoint(b"t", 0)
            await settle()
            await caller.call.interrupt()
            await caller.call.hold()
            caller.line.checkpoint(b"", 0)
            await settle()
            caller.line.dies()
            await settle(0.5)
            kinds = [item.control.kind for item in caller.line.sent if item.WhichOneof("content") == "control"]
            assert kinds == [pb.CONTROL_PAUSE]

    run()


def test_playback_stops_only_where_the_answer_is_said_again() -> None:
    @virtual
    async def run() -> None:
        for ended, stops in ((False, True), (True, False)):
            network = FakeNetwork()
            async with calling(network) as caller:
                caller.line.event(EventKind.PROCESSING, 1)
                caller.line.checkpoint(b"commit", 0)
                caller.line.audio(1, 1, 0)
                if ended:
                    caller.line.event(EventKind.END_OF_TURN, 1)
                    caller.line.checkpoint(b"ended", 0)
                await settle()
                caller.line.dies()
                await settle(0.5)
                (lost,) = caller.of(Lost)
                assert lost.stop_playback is stops
                assert len(caller.of(Event)) == 1 + ended

    run()

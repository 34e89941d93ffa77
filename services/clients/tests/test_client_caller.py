"""The caller library against a gateway on real gRPC."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from client_fake_gateway import ANSWER_CHUNKS, FakeGateway, serving, silence, tone

from voice_clients.caller import LEGACY, MODERN, CallConfig, Overrides, connect
from voice_clients.conversation import Conversation
from voice_clients.errors import (
    BadRequestError,
    ConnectionLostError,
    GatewayFailedError,
    GatewayFullError,
    GatewayUnreachableError,
    NotAGatewayError,
    NotAllowedError,
    VoiceError,
)
from voice_clients.events import (
    AnswerAudio,
    AnswerText,
    CallEvent,
    Ended,
    Event,
    EventKind,
    Latency,
    Playback,
    PlaybackAction,
    Pong,
    Session,
    Transcript,
)
from voice_clients.listener import SimulatedListener
from voice_contracts import voice_workflow_pb2 as pb

pytestmark = pytest.mark.edge


async def one_turn(target: str, config: CallConfig | None = None) -> list[CallEvent]:
    """Say something, half-close, and give every event."""
    async with connect(target, config) as call:
        await call.send_audio(tone(0.3) + silence(0.1))
        await call.half_close()
        return [event async for event in call]


async def test_a_modern_call_tells_everything_in_order_and_ends_ok() -> None:
    gateway = FakeGateway()
    before_ns = time.monotonic_ns()
    async with serving(gateway) as target:
        config = CallConfig(language_code="en-US", session_id="me", overrides=Overrides(tts_voice="Anna"))
        events = await one_turn(target, config)
    assert isinstance(events[0], Session)
    assert events[0].call_id == "call-1"
    assert events[0].controls == {"INTERRUPT", "COMMIT_AUDIO", "PING"}
    texts = [(event.text, event.final) for event in events if isinstance(event, Transcript)]
    assert texts == [("hello", False), ("hello gateway", True)]
    assert "".join(event.text for event in events if isinstance(event, AnswerText)).strip() == gateway.script.answer
    audio = [event for event in events if isinstance(event, AnswerAudio)]
    assert [event.first_sample for event in audio] == [320 * number for number in range(ANSWER_CHUNKS)]
    assert {(event.turn, event.generation) for event in audio} == {(1, 1)}
    kinds = [event.kind.name for event in events if isinstance(event, Event)]
    assert kinds == ["LISTENING", "PROCESSING", "SPEAKING", "END_OF_TURN", "LISTENING"]
    report = next(event for event in events if isinstance(event, Latency))
    assert [stage.name for stage in report.stages] == ["endpoint", "llm_first_token", "tts_first_audio"]
    assert isinstance(events[-1], Ended)
    assert (events[-1].code, events[-1].error) == ("OK", None)
    times = [event.at_ns for event in events]
    assert times == sorted(times)
    assert times[0] >= before_ns
    sent = gateway.heard.configs[0]
    assert (sent.language_code, sent.session_id, sent.overrides.tts_voice) == ("en-US", "me", "Anna")
    assert set(sent.capabilities) == {item.value for item in MODERN}
    assert not sent.overrides.HasField("llm_temperature")


async def test_a_legacy_call_sends_only_what_the_first_contract_has() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target:
        events = await one_turn(target, CallConfig(capabilities=LEGACY, sample_rate_hz=16_000))
    assert gateway.heard.configs[0].SerializeToString() == pb.VoiceConfig(sample_rate=16_000).SerializeToString()
    assert not any(isinstance(event, Session | Latency | Playback) for event in events)
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    (turn,) = conversation.told_turns()
    assert (turn.transcript, turn.ended) == ("hello gateway", True)
    assert turn.answer_samples == ANSWER_CHUNKS * 320
    assert [stage.name for stage in turn.stages()] == ["first answer text", "first answer audio"]


async def test_text_controls_and_acks_arrive() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, connect(target) as call:
        await call.ping(42)
        await call.interrupt()
        await call.commit_audio()
        await call.ack(3, 480)
        await call.send_text("what time is it")
        await call.half_close()
        events = [event async for event in call]
    assert any(isinstance(event, Pong) and event.ping_id == 42 for event in events)
    assert gateway.heard.controls == [pb.CONTROL_PING, pb.CONTROL_INTERRUPT, pb.CONTROL_COMMIT_AUDIO]
    assert gateway.heard.acks == [(3, 480)]
    assert gateway.heard.texts == ["what time is it"]


async def test_several_tasks_may_send_at_once() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, connect(target) as call:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(call.send_audio(silence(0.02)), name="sender")
                tasks.create_task(call.ack(1, 1), name="acker")
        await call.half_close()
        await call.half_close()  # a second one says nothing new
        assert isinstance([event async for event in call][-1], Ended)
    assert gateway.heard.audio_bytes == 20 * 640
    assert len(gateway.heard.acks) == 20


async def test_leaving_hangs_up() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target:
        async with connect(target) as call:
            assert isinstance(await anext(call), Session)
        async with asyncio.timeout(5):
            await gateway.hung_up.wait()
    assert gateway.heard.half_closes <= 1


async def test_a_simulated_listener_hears_all_and_acknowledges_it() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, connect(target) as call:
        listener = SimulatedListener(call, 16_000)
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(listener.run(), name="listener")
            await call.send_audio(tone(0.3))
            await call.send_audio(silence(0.3))
            async for event in call:
                listener.take(event)
                if isinstance(event, Event) and event.kind is EventKind.END_OF_TURN:
                    break
            async with asyncio.timeout(5):
                await gateway.heard.ack_of(1, ANSWER_CHUNKS * 320)
            playing.cancel()
    assert listener.heard == tone(0.02) * ANSWER_CHUNKS


async def test_a_flush_silences_the_listener_and_is_acknowledged() -> None:
    gateway = FakeGateway()
    gateway.script.flush_after_chunks = 5
    async with serving(gateway) as target, connect(target) as call:
        listener = SimulatedListener(call, 16_000)
        await call.send_audio(tone(0.3))
        await call.send_audio(silence(0.3))
        async for event in call:
            listener.take(event)
            if isinstance(event, Playback):
                assert (event.action, event.generation) == (PlaybackAction.FLUSH, 2)
                break
        listener.play_rest()
    assert listener.heard == b""
    assert listener.playback.stale_samples == 5 * 320


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            GatewayFullError,
            "The gateway is full: 10 of 10 calls are taken. Try again in 1.5 s.",
        ),
        (grpc.StatusCode.INVALID_ARGUMENT, BadRequestError, "refused the request: 10 of 10"),
        (grpc.StatusCode.UNAUTHENTICATED, NotAllowedError, "does not admit this client"),
        (grpc.StatusCode.INTERNAL, GatewayFailedError, "(INTERNAL): 10 of 10"),
        (grpc.StatusCode.UNAVAILABLE, GatewayFailedError, "cannot take the call: 10 of 10"),
    ],
)
async def test_a_refusal_is_one_sentence_with_its_reason(
    code: grpc.StatusCode, kind: type[VoiceError], words: str
) -> None:
    gateway = FakeGateway()
    gateway.script.refuse, gateway.script.refuse_reason = code, "SOME_REASON"
    async with serving(gateway) as target, connect(target) as call:
        ended = [event async for event in call][-1]
        assert isinstance(ended, Ended)
        assert isinstance(ended.error, kind)
        assert words in str(ended.error)
        assert ended.code == code.name
        assert ended.error.reason == "SOME_REASON"
        with pytest.raises(kind):
            await call.send_audio(silence(0.02))
        with pytest.raises(kind):
            ended.raise_for_error()


async def test_a_gateway_that_goes_away_is_a_lost_connection_for_reader_and_sender() -> None:
    gateway = FakeGateway()
    gateway.script.break_after_bytes = 640
    async with serving(gateway) as target, connect(target) as call:
        await call.send_audio(silence(0.02))
        ended = [event async for event in call][-1]
        assert isinstance(ended, Ended)
        assert isinstance(ended.error, ConnectionLostError)
        with pytest.raises(ConnectionLostError, match="broke off"):
            await call.send_audio(silence(0.02))


async def test_sending_to_a_refused_call_tells_the_reason_even_when_nobody_reads() -> None:
    gateway = FakeGateway()
    gateway.script.refuse = grpc.StatusCode.RESOURCE_EXHAUSTED
    async with serving(gateway) as target, connect(target) as call:

        async def send_on() -> None:
            async with asyncio.timeout(5):
                while True:
                    await call.send_audio(silence(0.02))

        with pytest.raises(GatewayFullError, match=r"Try again in 1\.5 s") as caught:
            await send_on()
    assert caught.value.retry_after_ms == 1500


async def test_sending_after_the_end_of_a_call_says_that_it_is_over() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, connect(target) as call:
        await call.half_close()
        assert isinstance([event async for event in call][-1], Ended)
        with pytest.raises(ConnectionLostError, match="The call is over"):
            await call.send_audio(b"\0\0")


async def test_nothing_listens() -> None:
    with pytest.raises(GatewayUnreachableError, match=r"Nothing listens at 127\.0\.0\.1:1"):
        async with connect("127.0.0.1:1"):
            pass


async def test_another_grpc_server_is_not_a_gateway() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with connect(f"127.0.0.1:{port}") as call:
            ended = [event async for event in call][-1]
        assert isinstance(ended, Ended)
        assert isinstance(ended.error, NotAGatewayError)
    finally:
        await server.stop(None)


async def test_a_server_that_speaks_no_grpc_is_told_from_one_that_is_not_there() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(GatewayUnreachableError, match="does not answer as a gateway: check the port"):
            async with connect(f"127.0.0.1:{port}", connect_timeout_s=1.0):
                pass


async def test_cancelling_the_reader_ends_the_call_and_is_not_swallowed() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, connect(target) as call:
        reached = asyncio.Event()

        async def read() -> None:
            async for _ in call:
                reached.set()

        task = asyncio.create_task(read(), name="reader")
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await gateway.hung_up.wait()


async def test_a_hundred_calls_in_one_process() -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(one_turn(target), name="call") for _ in range(100)]
    last = [task.result()[-1] for task in calls]
    assert [event.code for event in last if isinstance(event, Ended)] == ["OK"] * 100
    assert len(gateway.heard.configs) == 100


async def test_content_of_a_later_contract_is_passed_over() -> None:
    class Later(FakeGateway):
        async def StreamAudio(  # type: ignore[override] # noqa: N802 - grpc.aio takes a coroutine that writes
            self, request_iterator: object, context: grpc.aio.ServicerContext[pb.ClientMessage, pb.ServerMessage]
        ) -> None:
            await context.write(pb.ServerMessage.FromString(bytes([0xFA, 0x3F, 2, 1, 2])))  # field 1023
            await context.write(pb.ServerMessage(event=pb.ServerEvent(type=pb.EventType.ValueType(77))))

    async with serving(Later()) as target, connect(target) as call:
        first, last = [event async for event in call]
    assert isinstance(first, Event)
    assert first.kind is EventKind.UNKNOWN
    assert isinstance(last, Ended)


HTTP2_WIDE_OPEN = (
    bytes.fromhex("000006 04 00 00000000 0004 7fffffff")  # SETTINGS: a stream may send as much as it likes,
    + bytes.fromhex("000004 08 00 00000000 7fff0000")  # WINDOW_UPDATE: and so may the connection
)


@contextlib.asynccontextmanager
async def standing_still() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A gateway that stops in the middle of a message, and reads no more: where it listens, and that it has stopped."""
    stopped, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HTTP2_WIDE_OPEN)
        await reader.readexactly(1 << 20)
        stopped.set()
        await over.wait()
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", stopped
        over.set()


@pytest.mark.parametrize("second_half_closes", [False, True])
async def test_hanging_up_lets_go_of_whoever_sends_to_a_gateway_that_stands_still(second_half_closes: bool) -> None:
    async with asyncio.timeout(5), standing_still() as (target, stopped), connect(target) as call:
        # More than all buffers on the way hold.
        first = asyncio.create_task(call.send_audio(bytes(64 << 20)), name="first")
        await stopped.wait()
        second = asyncio.create_task(call.half_close() if second_half_closes else call.ack(1, 1), name="second")
        await asyncio.sleep(0)
        call.hang_up()
        with pytest.raises(ConnectionLostError, match="over"):
            await first
        if second_half_closes:
            await second
        else:
            with pytest.raises(ConnectionLostError, match="over"):
                await second
        assert [event.code async for event in call if isinstance(event, Ended)] == ["CANCELLED"]

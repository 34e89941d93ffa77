"""The service over real gRPC, with a runner that plays scripts."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from gateway_edge import COMES_BACK, WAIT_S, all_of, audio, config, refused, served
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from voice_contracts import voice_workflow_pb2 as pb
from voice_gateway.adapters.rpc_status import CODES, all_errors, code_of
from voice_gateway.application.messages import (
    AudioIn,
    AudioOut,
    Capability,
    EventKind,
    EventOut,
    Hello,
    PlaybackOut,
    PlaybackVerb,
    SessionOut,
    TextIn,
    TranscriptOut,
)
from voice_gateway.application.ports import BackendCheck, CallTransport
from voice_gateway.domain import errors
from voice_gateway.domain.errors import GatewayError

pytestmark = pytest.mark.edge


def details(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo, RetryInfo | None]:
    status = rpc_status.from_call(error)
    assert status is not None
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    return info, retry if len(status.details) > 1 and status.details[1].Unpack(retry) else None


async def until_gone(hello: Hello, transport: CallTransport) -> None:
    """Reads, and runs on after the end of the stream, as a call does that still has an answer to give."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(drain_reads(transport))
        await asyncio.Event().wait()


async def drain_reads(transport: CallTransport) -> None:
    while await transport.receive() is not None:
        pass


async def echo(hello: Hello, transport: CallTransport) -> None:
    """Says what came, also after the half-close."""
    got: list[str] = []
    while (message := await transport.receive()) is not None:
        got.append(message.pcm.hex() if isinstance(message, AudioIn) else type(message).__name__)
    await transport.send(TranscriptOut(1, " ".join(got), final=True))
    await transport.send(EventOut(1, EventKind.END_OF_TURN))


# ---- the first message ----------------------------------------------------------------------------------------------


async def test_a_call_goes_from_config_to_half_close() -> None:
    async with served(echo) as edge:
        call = await edge.call(
            config(session_id="s", sample_rate=8_000, language_code="de-DE"), audio(b"\1\2"), audio(b"\3\4"), close=True
        )
        transcript, end = await all_of(call)
        assert transcript == pb.ServerMessage(transcript_chunk="0102 0304")
        assert end == pb.ServerMessage(event=pb.ServerEvent(type=pb.END_OF_TURN))
        assert await call.code() is grpc.StatusCode.OK
        assert edge.runner.hellos == [Hello(language_code="de-DE", session_id="s", sample_rate_hz=8_000)]
        assert len(set(edge.runner.ids[0])) > 4, "call ids are not guessable"
        await edge.gateway._service.until_idle()
        assert edge.metric("requests_total", status="ok") == 1
        assert edge.metric("active_streams") == 0


@pytest.mark.parametrize(
    ("messages", "close", "sentence"),
    [
        ([audio()], False, "The first message must be config; something else was received."),
        (
            [pb.ClientMessage(text_input="hello")],
            False,
            "The first message must be config; something else was received.",
        ),
        ([], True, "The first message must be config; the end of the stream was received."),
        ([pb.ClientMessage()], False, "A message without content was received; exactly one of its fields must be set."),
    ],
)
async def test_another_first_message_is_refused(messages: list[Any], close: bool, sentence: str) -> None:
    async with served() as edge:
        said, error = await refused(await edge.call(*messages, close=close))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == sentence
        assert said == [pb.ServerMessage(event=pb.ServerEvent(type=pb.ERROR, message=sentence))]
        assert edge.runner.hellos == []


async def test_bytes_that_are_no_message_are_refused() -> None:
    async with served(until_gone) as edge:
        raw: Any = edge.channel.stream_stream("/voice_workflow.VoiceGateway/StreamAudio")
        call = raw(timeout=WAIT_S)
        await call.write(config().SerializeToString())
        await edge.runner.started.wait()
        await call.write(b"\xff\xff\xff")
        _, error = await refused(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert details(error)[0].reason == "INVALID_MESSAGE"


# ---- how a caller leaves --------------------------------------------------------------------------------------------


async def test_after_a_half_close_the_call_runs_on() -> None:
    async def answers_late(hello: Hello, transport: CallTransport) -> None:
        assert await transport.receive() is None
        # Long enough for a cancellation to arrive, were there one.
        await asyncio.sleep(0.2)
        await transport.send(EventOut(1, EventKind.END_OF_TURN))

    async with served(answers_late) as edge:
        (end,) = await all_of(await edge.call(config(), close=True))
        assert end.event.type == pb.END_OF_TURN


@pytest.mark.parametrize("how", ["cancels", "closes the channel"])
async def test_the_call_of_a_caller_who_is_gone_is_torn_down(how: str) -> None:
    async with served(until_gone) as edge:
        call = await edge.call(config(), audio())
        await edge.runner.started.wait()
        if how == "cancels":
            call.cancel()
        else:
            await edge.channel.close()
        await asyncio.wait_for(edge.runner.ended.wait(), WAIT_S)
        assert isinstance(edge.runner.outcome, asyncio.CancelledError)
        await edge.gateway._service.until_idle()
        assert edge.metric("requests_total", status="cancelled") == 1


async def test_a_caller_who_does_not_read_holds_writing_back_and_no_place() -> None:
    async def floods(hello: Hello, transport: CallTransport) -> None:
        sent = 0
        try:
            async with asyncio.timeout(0.3):
                while True:
                    await transport.send(AudioOut(1, 1, sent, b"\0" * 65_536))
                    sent += 1
        except TimeoutError:
            raise errors.SlowConsumer("The caller does not take its audio.") from None

    async with served(floods) as edge:
        await edge.call(config())
        await asyncio.wait_for(edge.runner.ended.wait(), WAIT_S)
        await asyncio.wait_for(edge.gateway._service.until_idle(), WAIT_S)
        assert edge.metric("requests_total", status="slow_consumer") == 1


# ---- errors ---------------------------------------------------------------------------------------------------------


def make(kind: type[GatewayError]) -> GatewayError:
    if issubclass(kind, errors.CallRefused):
        return kind("A sentence.", retry_after_ms=700)
    if issubclass(kind, errors.BackendError):
        return kind("llm", "A sentence.", detail="what the backend said")
    if issubclass(kind, errors.ResumeRefused):
        return kind("expired", "A sentence.", detail="internal")
    return kind("A sentence.", detail="internal")


@pytest.mark.parametrize(
    "kind", [kind for kind in all_errors() if "reason" in vars(kind)], ids=lambda kind: kind.__name__
)
async def test_every_error_has_its_status_and_its_event(kind: type[GatewayError]) -> None:
    async def fails(hello: Hello, transport: CallTransport) -> None:
        async def inner() -> None:
            raise make(kind)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(inner())
            tasks.create_task(asyncio.Event().wait())

    async with served(fails) as edge:
        said, error = await refused(await edge.call(config(capabilities=[pb.SESSION_INFO])))
        info, retry = details(error)
        assert error.code() is code_of(kind)
        assert error.details() == "A sentence."
        assert (info.reason, info.domain) == (kind.reason, "voice-gateway")
        assert info.metadata["retryable"] == str(kind.retryable).lower()
        assert (retry is not None) == issubclass(kind, errors.CallRefused)
        assert [m.event for m in said] == [
            pb.ServerEvent(
                type=pb.ERROR, message="A sentence.", reason=kind.reason, retryable=kind.retryable, fatal=True
            )
        ]
        assert edge.metric("requests_total", status=kind.reason.lower()) == 1


def test_every_status_belongs_to_an_error_of_the_tree() -> None:
    assert set(CODES) <= set(all_errors())
    assert {code_of(kind) for kind in all_errors()}.isdisjoint({grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN})
    raised = [kind for kind in all_errors() if not kind.__subclasses__() or "reason" in vars(kind)]
    assert len({kind.reason for kind in raised}) == len(raised)


async def test_an_end_that_the_call_has_told_is_not_told_again() -> None:
    async def fails(hello: Hello, transport: CallTransport) -> None:
        await transport.send(EventOut(3, EventKind.ERROR, "Too long.", "CALL_TOO_LONG", fatal=True))
        raise errors.CallTooLong("Too long.")

    async with served(fails) as edge:
        said, error = await refused(await edge.call(config()))
        assert [m.event.message for m in said] == ["Too long."]
        assert error.code() is grpc.StatusCode.OUT_OF_RANGE


@pytest.mark.parametrize("make_error", [lambda: ValueError("secret"), asyncio.CancelledError], ids=["bug", "cancelled"])
async def test_a_bug_says_nothing_of_itself(make_error: Callable[[], BaseException]) -> None:
    async def fails(hello: Hello, transport: CallTransport) -> None:
        raise make_error()

    async with served(fails) as edge:
        said, error = await refused(await edge.call(config()))
        assert (error.code(), error.details(), said) == (grpc.StatusCode.INTERNAL, "internal error", [])


async def test_a_chunk_beyond_the_limit_reaches_the_call_which_refuses_it() -> None:
    """gRPC's own limit lies above ours, so that the sentence is ours."""
    sizes: list[int] = []

    async def measures(hello: Hello, transport: CallTransport) -> None:
        message = await transport.receive()
        assert isinstance(message, AudioIn)
        sizes.append(len(message.pcm))

    async with served(measures) as edge:
        await all_of(await edge.call(config(), audio(b"\0" * 600_000)))
        assert sizes == [600_000]
        _, error = await refused(await edge.call(config(), audio(b"\0" * 3_000_000)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in (error.details() or "")


# ---- admission ------------------------------------------------------------------------------------------------------


async def test_a_full_gateway_refuses_at_once_and_says_when_to_come_back() -> None:
    async with served(until_gone, MAX_CALLS="1") as edge:
        first = await edge.call(config())
        await edge.runner.started.wait()
        said, error = await refused(await edge.call(config()))
        info, retry = details(error)
        assert (error.code(), said) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])
        assert error.details() == "All 1 places of this gateway are taken; try again in a moment."
        assert (info.reason, retry and retry.retry_delay.ToMilliseconds()) == ("AT_CAPACITY", 2_000)
        assert edge.metric("calls_refused_total", reason="at_capacity") == 1
        assert edge.metric("requests_total", status="refused") == 1
        # A probe is answered by a full gateway.
        health = health_pb2_grpc.HealthStub(edge.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        first.cancel()
        await edge.gateway._service.until_idle()
        again = await edge.call(config())
        edge.runner.started.clear()
        await edge.runner.started.wait()
        again.cancel()


@pytest.mark.parametrize("message", [None, audio(), config(resume=pb.Resume(token=b"of another call"))])
async def test_a_full_gateway_waits_for_nobody_but_who_comes_back(message: Any) -> None:
    async with served(until_gone, MAX_CALLS="1") as edge:
        first = await edge.call(config())
        await edge.runner.started.wait()
        _, error = await refused(await edge.call(*([] if message is None else [message])))
        assert details(error)[0].reason == "AT_CAPACITY"
        assert edge.metric("calls_refused_total", reason="at_capacity") == 1
        assert not edge.runner.ended.is_set()
        first.cancel()


async def test_at_the_door_of_a_full_gateway_there_is_room_for_as_many_as_it_holds() -> None:
    async with served(until_gone, MAX_CALLS="1") as edge:
        first = await edge.call(config())
        await edge.runner.started.wait()
        silent = await edge.call()
        async with asyncio.timeout(WAIT_S):
            while not edge.gateway._service._at_door:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
        _, error = await refused(await edge.call(config(resume=pb.Resume(token=COMES_BACK))))
        assert details(error)[0].reason == "AT_CAPACITY"
        assert not edge.runner.superseded.is_set(), "it was not even read"
        silent.cancel()
        first.cancel()


async def test_a_call_that_comes_back_to_a_full_gateway_gets_the_place_that_it_has() -> None:
    superseded: list[asyncio.Event] = []
    active: list[Callable[[], float | None]] = []
    seen: list[float | None] = []

    async def until_superseded(hello: Hello, transport: CallTransport) -> None:
        seen.extend(look() for look in active)
        if hello.resume is None:
            await superseded[0].wait()
        else:
            await echo(hello, transport)

    async with served(until_superseded, MAX_CALLS="1") as edge:
        superseded.append(edge.runner.superseded)
        active.append(lambda: edge.metric("active_streams"))
        first = await edge.call(config())
        await edge.runner.started.wait()
        again = await edge.call(config(resume=pb.Resume(token=COMES_BACK)), audio(b"\1\2"), close=True)
        assert [message.transcript_chunk for message in await all_of(again)] == ["0102", ""]
        assert await all_of(first) == []
        assert [hello.resume is not None for hello in edge.runner.hellos] == [False, True]
        await edge.gateway._service.until_idle()
        assert seen == [1, 1], "one call, wherever it is"
        assert edge.metric("active_streams") == 0
        assert edge.metric("calls_refused_total", reason="at_capacity") == 0
        assert edge.metric("requests_total", status="ok") == 2


async def test_a_draining_gateway_lets_calls_end_and_takes_none() -> None:
    finish = asyncio.Event()

    async def until_finished(hello: Hello, transport: CallTransport) -> None:
        await finish.wait()
        await transport.send(EventOut(1, EventKind.END_OF_TURN))

    async with served(until_finished) as edge:
        running = await edge.call(config())
        await edge.runner.started.wait()
        draining = asyncio.create_task(edge.gateway.drain(seconds=WAIT_S, resumable_seconds=5))
        await edge.runner.draining.wait()
        assert edge.runner.drains_ms == [(20_000, 5_000)]
        _, error = await refused(await edge.call())
        info, retry = details(error)
        assert (error.code(), info.reason, retry is not None) == (grpc.StatusCode.UNAVAILABLE, "DRAINING", True)
        health = health_pb2_grpc.HealthStub(edge.channel)
        states = {
            name: (await health.Check(health_pb2.HealthCheckRequest(service=name))).status
            for name in ("", "readiness", "voice_workflow.VoiceGateway", "liveness")
        }
        assert states == {
            "": health_pb2.HealthCheckResponse.NOT_SERVING,
            "readiness": health_pb2.HealthCheckResponse.NOT_SERVING,
            "voice_workflow.VoiceGateway": health_pb2.HealthCheckResponse.NOT_SERVING,
            "liveness": health_pb2.HealthCheckResponse.SERVING,
        }
        finish.set()
        assert await draining
        assert [m.event.type for m in await all_of(running)] == [pb.END_OF_TURN]


async def test_a_call_that_does_not_end_is_cut_when_draining_is_over() -> None:
    async with served(until_gone) as edge:
        await edge.call(config())
        await edge.runner.started.wait()
        assert not await edge.gateway.drain(seconds=0.01, resumable_seconds=0)
    await asyncio.wait_for(edge.runner.ended.wait(), WAIT_S)
    assert isinstance(edge.runner.outcome, asyncio.CancelledError)


# ---- what is understood ---------------------------------------------------------------------------------------------


async def say_everything(hello: Hello, transport: CallTransport) -> None:
    await transport.send(SessionOut("id", 16_000, 16_000, 60, "r1", ("tts_voice",), 65_536, 4_000, 3_600_000))
    first = await transport.receive()
    assert first == TextIn("hi")
    await transport.send(TranscriptOut(2, "hel", final=False))
    await transport.send(AudioOut(2, 3, 320, b"\1\0"))
    await transport.send(PlaybackOut(2, 4, PlaybackVerb.FLUSH))


async def test_only_what_was_announced_is_sent() -> None:
    async with served(say_everything) as edge:
        hi = pb.ClientMessage(text_input="hi")
        legacy = await all_of(await edge.call(config(), hi))
        assert legacy == [pb.ServerMessage(transcript_chunk="hel..."), pb.ServerMessage(audio_chunk=b"\1\0")]
        announced = config(capabilities=[pb.SESSION_INFO, pb.PLAYBACK_FLUSHES])
        modern = await all_of(await edge.call(announced, hi))
        assert [m.WhichOneof("content") for m in modern] == ["session", "transcript_chunk", "audio_chunk", "playback"]
        assert modern[0].session.config_revision == "r1"
        assert (modern[2].turn, modern[2].generation, modern[2].first_sample) == (2, 3, 320)
        assert edge.runner.hellos[1].capabilities == {Capability.SESSION_INFO, Capability.PLAYBACK_FLUSHES}


# ---- the other services ---------------------------------------------------------------------------------------------


class CountingProbe:
    def __init__(self) -> None:
        self.asked = 0

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        self.asked += 1
        return BackendCheck("tts", "Aria", False, "No such voice.", 1.5, tuple(f"voice{n}" for n in range(30)))


async def test_backends_are_asked_once_for_many_clients() -> None:
    probe = CountingProbe()
    async with served(probes=[probe]) as edge:
        answers = await asyncio.gather(*(edge.stub.CheckBackends(pb.CheckBackendsRequest()) for _ in range(5)))
        assert probe.asked == 1
        (status,) = answers[0].backends
        assert (status.kind, status.configured, status.ok, status.detail) == ("tts", "Aria", False, "No such voice.")
        assert len(status.available) == 20


async def test_reflection_names_the_services() -> None:
    async with served() as edge:
        stub = reflection_pb2_grpc.ServerReflectionStub(edge.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answer = await call.read()
        assert {service.name for service in answer.list_services_response.service} == {
            "voice_workflow.VoiceGateway", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection",
        }  # fmt: skip
        call.cancel()


async def test_an_address_that_is_taken_is_told() -> None:
    async with served() as edge:
        taken = f"127.0.0.1:{edge.gateway.calls.port}"
        with pytest.raises(OSError, match=f"{taken} is in use"):
            async with served(GATEWAY_LISTEN_ADDRESS=taken):
                pass

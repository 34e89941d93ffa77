"""RivaAsr against a real gRPC server."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from gateway_scripted_riva import ScriptedRiva, heard, serving
from riva.client.proto import riva_audio_pb2

from voice_gateway.adapters.riva_asr import RivaAsr, RivaAsrOptions, RivaAsrStream, RivaEndpointing, recognitions
from voice_gateway.adapters.riva_channels import RivaEndpoint
from voice_gateway.application.ports import AsrRequest, Recognition
from voice_gateway.domain.errors import BackendBusy, BackendError, BackendRejected, BackendTimeout, BackendUnavailable

pytestmark = pytest.mark.edge

REQUEST = AsrRequest(sample_rate_hz=16_000, language_code="en-US", model="parakeet", call_id="call-7")
CHUNK = b"\x01\x00" * 1600


@asynccontextmanager
async def connected(
    riva: ScriptedRiva, options: RivaAsrOptions | None = None, **endpoint: Any
) -> AsyncIterator[RivaAsr]:
    async with serving(riva) as target:
        asr = RivaAsr(RivaEndpoint(target, **endpoint), options)
        try:
            yield asr
        finally:
            await asr.close()


async def send_for_ever(stream: RivaAsrStream, pcm: bytes) -> None:
    while True:
        await stream.send(pcm)


async def everything(stream: RivaAsrStream) -> list[Recognition]:
    return [result async for result in stream.results()]


async def test_configuration_comes_first_and_audio_as_given() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read_all(context)
        await context.write(heard(("hello there", True, 0.0), processed_s=0.25))

    riva = ScriptedRiva(handle)
    options = RivaAsrOptions(
        endpointing=RivaEndpointing(stop_history_ms=500, stop_history_eou_ms=240), custom_configuration=(("a", "b"),)
    )
    async with connected(riva, options) as asr, asr.open(REQUEST) as stream:
        await stream.send(CHUNK)
        await stream.send(CHUNK[:640])
        await stream.half_close()
        results = await everything(stream)

    first, *audio = riva.requests
    config = first.streaming_config.config
    assert first.streaming_config.interim_results
    assert config.encoding == riva_audio_pb2.AudioEncoding.LINEAR_PCM
    assert (config.sample_rate_hertz, config.language_code, config.model) == (16_000, "en-US", "parakeet")
    assert config.enable_automatic_punctuation
    assert not config.verbatim_transcripts
    assert config.endpointing_config.stop_history == 500
    assert config.endpointing_config.stop_history_eou == 240
    assert not config.endpointing_config.HasField("start_history")
    assert dict(config.custom_configuration) == {"a": "b"}
    assert first.id.value == "call-7"
    assert not first.audio_content
    assert [message.audio_content for message in audio] == [CHUNK, CHUNK[:640]]
    assert results == [Recognition("hello there", True, 0.0, 250.0)]


async def test_endpointing_is_the_servers_unless_configured() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read_all(context)

    riva = ScriptedRiva(handle)
    async with connected(riva) as asr, asr.open(AsrRequest(8_000, "hi-IN")) as stream:
        await stream.half_close()
        assert await everything(stream) == []
    config = riva.requests[0].streaming_config.config
    assert not config.HasField("endpointing_config")
    assert config.model == ""
    assert not riva.requests[0].HasField("id")


async def test_results_as_riva_sends_them() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)
        for response in (
            heard(),
            heard(("what", False, 0.0), (" is the", False, 0.0), processed_s=0.5),
            heard(("what is the time", False, 1.0), processed_s=1.0),
            heard(("What is the time?", True, 0.0), processed_s=1.5),
            heard((" and", False, 0.0)),
            heard((" And the date?", True, 0.0), processed_s=3.0),
        ):
            await context.write(response)

    async with connected(ScriptedRiva(handle)) as asr, asr.open(REQUEST) as stream:
        results = await everything(stream)

    assert [(r.text, r.is_final, r.stability) for r in results] == [
        ("what is the", False, 0.0),
        ("what is the time", False, 1.0),
        ("What is the time?", True, 0.0),
        ("and", False, 0.0),
        ("And the date?", True, 0.0),
    ]
    assert [r.audio_processed_ms for r in results] == [500, 1000, 1500, 0, 3000]


def test_an_empty_final_counts_and_an_empty_interim_does_not() -> None:
    assert recognitions(heard(("", True, 0.0), ("  ", False, 1.0)).results) == [Recognition("", True)]


def test_a_stable_part_before_an_unstable_one_is_not_the_end_of_the_utterance() -> None:
    (result,) = recognitions(heard(("stop", False, 1.0), (" no go on", False, 0.5)).results)
    assert (result.text, result.stability) == ("stop no go on", 0.5)


async def test_force_eou_reaches_the_server_in_its_place() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        while (request := await riva.read(context)) is not grpc.aio.EOF:
            if request.runtime_config.get("force_eou") == "true":
                await context.write(heard(("now", True, 0.0)))

    riva = ScriptedRiva(handle)
    async with connected(riva) as asr, asr.open(REQUEST) as stream:
        await stream.send(CHUNK)
        await stream.force_end_of_utterance()
        assert await anext(stream.results()) == Recognition("now", True)
        await stream.send(CHUNK)
        await stream.half_close()
        assert await everything(stream) == []
    assert [request.WhichOneof("streaming_request") for request in riva.requests] == [
        "streaming_config",
        "audio_content",
        "audio_content",
        "audio_content",
    ]
    assert [len(request.audio_content) for request in riva.requests[1:]] == [3200, 0, 3200]


async def test_results_that_wait_are_not_lost_when_the_server_has_ended() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)
        for number in range(50):
            await context.write(heard((str(number), True, 0.0)))

    riva = ScriptedRiva(handle)
    async with connected(riva) as asr, asr.open(REQUEST) as stream:
        await riva.ended.wait()
        assert [result.text for result in await everything(stream)] == [str(number) for number in range(50)]


async def test_metadata_of_a_hosted_endpoint_is_sent_once() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read_all(context)

    riva = ScriptedRiva(handle)
    async with connected(riva, function_id="f-1", api_key="secret") as asr, asr.open(REQUEST) as stream:
        await stream.half_close()
        await everything(stream)
    sent = [pair for pair in riva.metadata if pair[0] in ("function-id", "authorization")]
    assert sorted(sent) == [("authorization", "Bearer secret"), ("function-id", "f-1")]


async def test_leaving_cancels_at_the_server() -> None:
    riva = ScriptedRiva(_waits_for_ever)
    async with connected(riva) as asr:
        async with asr.open(REQUEST) as stream:
            await stream.send(CHUNK)
            assert asr.pool.streams == 1
        await asyncio.wait_for(riva.cancelled.wait(), 5)
        assert asr.pool.streams == 0


async def test_a_cancelled_reader_cancels_at_the_server() -> None:
    riva = ScriptedRiva(_waits_for_ever)
    reading = asyncio.Event()

    async def use() -> None:
        async with asr.open(REQUEST) as stream:
            reading.set()
            await everything(stream)

    async with connected(riva) as asr:
        task = asyncio.create_task(use())
        await reading.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(riva.cancelled.wait(), 5)


async def test_a_cancelled_sender_leaves_no_stream() -> None:
    """The server reads nothing: sending comes to a stop, and is then cancelled."""
    riva = ScriptedRiva(_waits_for_ever)

    async def use() -> None:
        async with asr.open(REQUEST) as stream:
            await send_for_ever(stream, b"\x00" * 1_000_000)

    async with connected(riva) as asr:
        task = asyncio.create_task(use())
        await riva.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(riva.cancelled.wait(), 5)
        assert asr.pool.streams == 0


async def test_a_server_that_takes_no_audio_times_out_for_sender_and_reader() -> None:
    riva = ScriptedRiva(_waits_for_ever)
    async with connected(riva, RivaAsrOptions(send_timeout_ms=50)) as asr, asr.open(REQUEST) as stream:
        reader = asyncio.create_task(everything(stream))
        with pytest.raises(BackendTimeout) as sent:
            await send_for_ever(stream, b"\x00" * 1_000_000)
        with pytest.raises(BackendTimeout) as read:
            await reader
    assert str(sent.value) == str(read.value) == "The speech recogniser did not take audio in time."


@pytest.mark.parametrize(
    ("code", "text", "expected", "sentence"),
    [
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "Error: Unavailable model requested given these parameters: language_code=xx; type=online; ",
            BackendRejected,
            'The speech recogniser does not accept language "en-US", model "parakeet" at 16000 Hz.',
        ),
        (grpc.StatusCode.INVALID_ARGUMENT, "... must specify the START flag", BackendUnavailable, None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", BackendBusy, None),
        (grpc.StatusCode.UNAVAILABLE, "10.0.0.7 gone", BackendUnavailable, "The speech recogniser cannot be reached."),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "x", BackendTimeout, None),
        (grpc.StatusCode.UNAUTHENTICATED, "x", BackendRejected, "The speech recogniser refuses the configured key."),
        (grpc.StatusCode.UNIMPLEMENTED, "x", BackendRejected, None),
        (grpc.StatusCode.CANCELLED, "x", BackendUnavailable, None),
        (grpc.StatusCode.INTERNAL, "stack trace", BackendError, "The speech recogniser failed."),
    ],
)
async def test_errors_of_the_server(
    code: grpc.StatusCode, text: str, expected: type[BackendError], sentence: str | None
) -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)
        await context.abort(code, text)

    async with connected(ScriptedRiva(handle)) as asr, asr.open(REQUEST) as stream:
        with pytest.raises(BackendError) as raised:
            await everything(stream)
        # A sender that goes on after the end learns the same.
        with pytest.raises(expected) as sent:
            await send_for_ever(stream, CHUNK)
    assert type(raised.value) is expected
    assert raised.value.kind == "asr"
    assert raised.value.detail == f"{code.name}: {text}"
    assert text not in str(raised.value)
    assert sentence is None or str(raised.value) == sentence
    assert str(sent.value) == str(raised.value)


async def test_a_refusal_that_meets_a_write_keeps_its_status() -> None:
    """At whatever moment it comes: 50 refusals, each in the midst of audio that is being sent."""

    async def handle(riva: ScriptedRiva, context: Any) -> None:
        for _ in range(riva.calls % 10):
            await riva.read(context)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    async with connected(ScriptedRiva(handle)) as asr:
        for _ in range(50):
            with pytest.raises(BackendError) as raised:
                async with asr.open(REQUEST) as stream:
                    await send_for_ever(stream, CHUNK)
            assert raised.value.detail == "RESOURCE_EXHAUSTED: full"


async def test_sending_after_the_server_has_ended_well() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)

    async with connected(ScriptedRiva(handle)) as asr, asr.open(REQUEST) as stream:
        assert await everything(stream) == []
        with pytest.raises(BackendUnavailable, match="ended the stream"):
            await stream.send(CHUNK)
        await stream.half_close()


async def test_no_server() -> None:
    asr = RivaAsr(RivaEndpoint("127.0.0.1:1"))
    with pytest.raises(BackendUnavailable) as raised:
        async with asr.open(REQUEST) as stream:
            await everything(stream)
    assert "127.0.0.1" not in str(raised.value)
    assert asr.pool.streams == 0
    await asr.close()


async def test_a_host_that_never_answers_meets_the_open_deadline() -> None:
    """A listening socket that nobody accepts on: the TCP connection stands, HTTP/2 never starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asr = RivaAsr(RivaEndpoint(f"127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(BackendTimeout, match="did not take the stream in time"):
            async with asr.open(AsrRequest(16_000, "en-US", open_timeout_ms=50)):
                pass
        await asr.close()


async def test_the_server_goes_away_in_mid_stream() -> None:
    riva = ScriptedRiva(_waits_for_ever)
    async with serving(riva) as target:
        asr = RivaAsr(RivaEndpoint(target))
        context = asr.open(REQUEST)
        stream = await context.__aenter__()
        await riva.called.wait()
    with pytest.raises(BackendUnavailable):
        await everything(stream)
    await context.__aexit__(None, None, None)
    await asr.close()


async def test_closing_ends_streams_with_an_error_and_not_with_a_silent_cancellation() -> None:
    riva = ScriptedRiva(_waits_for_ever)
    async with connected(riva) as asr, asr.open(REQUEST) as stream:
        reader = asyncio.create_task(everything(stream))
        await riva.called.wait()
        await asr.close()
        with pytest.raises(BackendUnavailable):
            await reader


def test_only_what_is_needed_of_the_client_package_is_loaded() -> None:
    code = (
        "import sys, voice_gateway.adapters.riva_asr, voice_gateway.adapters.riva_tts; "
        "unwanted = ('riva.client.realtime', 'riva.client.proto.health', 'requests', 'websockets'); "
        "print([name for name in sys.modules if name.startswith(unwanted)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def _waits_for_ever(riva: ScriptedRiva, context: Any) -> None:
    await asyncio.Event().wait()

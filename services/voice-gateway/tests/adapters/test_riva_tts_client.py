"""RivaTts against a real gRPC server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from gateway_scripted_riva import ScriptedRiva, serving, spoken
from riva.client.proto import riva_audio_pb2

from voice_gateway.adapters.riva_channels import RivaEndpoint
from voice_gateway.adapters.riva_tts import RivaTts, predicted_words
from voice_gateway.application.ports import SpeechChunk, SpokenWord, TtsRequest
from voice_gateway.domain.errors import BackendBusy, BackendError, BackendRejected, BackendTimeout, BackendUnavailable

pytestmark = pytest.mark.edge

REQUEST = TtsRequest("Hello there.", "en-US", "English-US.Female-1", 16_000, call_id="call-7")

ASKED = 'voice "English-US.Female-1", language "en-US" at 16000 Hz, or this text'


@asynccontextmanager
async def connected(riva: ScriptedRiva) -> AsyncIterator[RivaTts]:
    async with serving(riva) as target:
        tts = RivaTts(RivaEndpoint(target), custom_configuration=(("speed", "1"),))
        tts.warm()
        try:
            yield tts
        finally:
            await tts.close()


async def chunks_of(tts: RivaTts, request: TtsRequest = REQUEST) -> list[SpeechChunk]:
    async with tts.synthesize(request) as chunks:
        return [chunk async for chunk in chunks]


async def test_one_request_then_half_close() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read_all(context)
        await context.write(spoken(b"\x01\x02" * 10, (("Hello", 0, 300),)))
        await context.write(spoken(b"\x03\x04" * 10, (("there.", 310, 600),)))

    riva = ScriptedRiva(handle)
    async with connected(riva) as tts:
        assert await chunks_of(tts) == [
            SpeechChunk(b"\x01\x02" * 10, (SpokenWord("Hello", 0, 300),)),
            SpeechChunk(b"\x03\x04" * 10, (SpokenWord("there.", 310, 600),)),
        ]
    (request,) = riva.requests
    assert request.text == "Hello there."
    assert (request.language_code, request.voice_name) == ("en-US", "English-US.Female-1")
    assert request.encoding == riva_audio_pb2.AudioEncoding.LINEAR_PCM
    assert request.sample_rate_hz == 16_000
    assert request.enable_word_time_offsets
    assert dict(request.custom_configuration) == {"speed": "1"}
    assert request.id.value == "call-7"


async def test_half_samples_are_carried_over() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        for audio in (b"\x01", b"\x02\x03", b"", b"\x04\x05\x06\x07"):
            await context.write(spoken(audio))

    async with connected(ScriptedRiva(handle)) as tts:
        chunks = await chunks_of(tts)
    # The seventh byte is half a sample that the server never completed.
    assert [chunk.pcm for chunk in chunks] == [b"\x01\x02", b"\x03\x04\x05\x06"]


async def test_no_audio_no_chunk() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await context.write(spoken(b"", (("...", 0, 0),)))
        await context.write(spoken(b"\x01"))

    async with connected(ScriptedRiva(handle)) as tts:
        assert await chunks_of(tts) == []


async def test_words_before_and_after_the_audio_are_kept() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await context.write(spoken(b"", (("a", -5, 10),)))
        await context.write(spoken(b"\x00\x00"))
        await context.write(spoken(b"", (("b", 20, 10),)))

    async with connected(ScriptedRiva(handle)) as tts:
        assert await chunks_of(tts) == [
            SpeechChunk(b"\x00\x00", (SpokenWord("a", 0, 10),)),
            SpeechChunk(b"", (SpokenWord("b", 20, 20),)),
        ]


async def test_predicted_durations_become_words_at_the_end() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        first = spoken(b"\x00\x00" * 16_000)
        first.meta.processed_text = "hello there"
        first.meta.predicted_durations.extend([3.0, 1.0])
        await context.write(first)

    async with connected(ScriptedRiva(handle)) as tts:
        assert (await chunks_of(tts))[-1] == SpeechChunk(
            b"", (SpokenWord("hello", 0, 750), SpokenWord("there", 750, 1000))
        )


def test_durations_by_character_leave_the_spaces_out() -> None:
    assert predicted_words("ab  c", [1, 1, 1, 1, 1], audio_ms=1000) == (
        SpokenWord("ab", 0, 400),
        SpokenWord("c", 800, 1000),
    )
    assert predicted_words(" a", [1, 3], audio_ms=400) == (SpokenWord("a", 100, 400),)


@pytest.mark.parametrize(("text", "durations"), [("a b", [1.0] * 5), ("", []), ("a", [0.0]), ("a b", [2.0, -1.0])])
def test_durations_that_make_no_sense_give_no_words(text: str, durations: list[float]) -> None:
    assert predicted_words(text, durations, audio_ms=100) == ()


async def test_leaving_before_the_end_cancels_at_the_server() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await context.write(spoken(b"\x00\x00"))
        await asyncio.Event().wait()

    riva = ScriptedRiva(handle)
    async with connected(riva) as tts:
        async with tts.synthesize(REQUEST) as chunks:
            await anext(chunks)
        await asyncio.wait_for(riva.cancelled.wait(), 5)
        assert tts.pool.streams == 0


async def test_cancelling_the_caller_cancels_at_the_server() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await asyncio.Event().wait()

    riva = ScriptedRiva(handle)
    async with connected(riva) as tts:
        task = asyncio.create_task(chunks_of(tts))
        await riva.called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(riva.cancelled.wait(), 5)


async def test_silence_of_the_server_meets_the_deadlines() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        if riva.calls == 2:
            await context.write(spoken(b"\x00\x00"))
        await asyncio.Event().wait()

    riva = ScriptedRiva(handle)
    async with connected(riva) as tts:
        with pytest.raises(BackendTimeout, match="did not start to speak in time"):
            await chunks_of(tts, replace(REQUEST, first_audio_timeout_ms=200))
        with pytest.raises(BackendTimeout, match="did not go on in time"):
            await chunks_of(tts, replace(REQUEST, chunk_timeout_ms=30))


@pytest.mark.parametrize(
    ("code", "expected", "sentence"),
    [
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            BackendRejected,
            f"The speech synthesiser does not accept {ASKED}.",
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BackendBusy, "The speech synthesiser has no room at the moment."),
        (grpc.StatusCode.UNKNOWN, BackendError, "The speech synthesiser failed."),
    ],
)
async def test_errors_after_some_audio(code: grpc.StatusCode, expected: type[BackendError], sentence: str) -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await context.write(spoken(b"\x00\x00"))
        await context.abort(code, "secret text of the server")

    async with connected(ScriptedRiva(handle)) as tts:
        with pytest.raises(BackendError) as raised:
            await chunks_of(tts)
    assert type(raised.value) is expected
    assert raised.value.kind == "tts"
    assert str(raised.value) == sentence


async def test_no_server() -> None:
    tts = RivaTts(RivaEndpoint("127.0.0.1:1"))
    with pytest.raises(BackendUnavailable):
        await chunks_of(tts)
    await tts.close()


async def test_garbage_instead_of_a_message() -> None:
    """grpc.aio logs what it cannot parse and hands over None."""

    async def handle(request_iterator: Any, context: Any) -> None:
        await context.write(b"\xff\xff\xff not a message")

    handler: Any = grpc.stream_stream_rpc_method_handler(handle)
    handlers = {"SynthesizeOnline": handler}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("nvidia.riva.tts.RivaSpeechSynthesis", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    tts = RivaTts(RivaEndpoint(f"127.0.0.1:{port}"))
    try:
        with pytest.raises(BackendError, match="makes no sense"):
            await chunks_of(tts)
    finally:
        await tts.close()
        await server.stop(None)

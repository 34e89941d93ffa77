"""The fake Riva over real gRPC, with the official stubs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from riva.client.proto import riva_asr_pb2 as asr
from riva.client.proto import riva_asr_pb2_grpc, riva_audio_pb2, riva_tts_pb2_grpc
from riva.client.proto import riva_tts_pb2 as tts

from voice_fakes import FakeRiva, Script
from voice_fakes.script import build_script

pytestmark = pytest.mark.edge

SPEECH = np.full(1600, 6000, "<i2").tobytes()  # 100 ms at 16 kHz
SILENCE = bytes(3200)
FAST = {
    "final_after_speech_end_ms": 30,
    "first_interim_ms": 100,
    "word_interval_ms": 100,
    "transcripts": ["one two", "three"],
}


def script(**parts: dict[str, Any]) -> Script:
    return build_script(
        {"asr": {**FAST, **parts.get("asr", {})}, "tts": {"first_chunk_ms": 5, "speed": 1000, **parts.get("tts", {})}}
    )


class Caller:
    """One connection to the fake."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.asr = riva_asr_pb2_grpc.RivaSpeechRecognitionStub(channel)
        self.tts = riva_tts_pb2_grpc.RivaSpeechSynthesisStub(channel)

    def listen(self) -> Any:
        return self.asr.StreamingRecognize()

    async def speak(self, **fields: Any) -> list[Any]:
        call = self.tts.SynthesizeOnline()
        await call.write(tts.SynthesizeSpeechRequest(**fields))
        await call.done_writing()
        return [response async for response in call]


@pytest.fixture
async def riva() -> AsyncIterator[FakeRiva]:
    async with FakeRiva(script()) as running:
        yield running


@pytest.fixture
async def caller(riva: FakeRiva) -> AsyncIterator[Caller]:
    async with grpc.aio.insecure_channel(riva.address) as channel:
        yield Caller(channel)


def config(*, interims: bool = True, **fields: Any) -> Any:
    inner = asr.RecognitionConfig(**{"encoding": riva_audio_pb2.LINEAR_PCM, "sample_rate_hertz": 16000, **fields})
    return asr.StreamingRecognizeRequest(
        streaming_config=asr.StreamingRecognitionConfig(config=inner, interim_results=interims)
    )


async def send(call: Any, messages: Sequence[bytes | Any], *, close: bool = True) -> None:
    for message in messages:
        await call.write(
            asr.StreamingRecognizeRequest(audio_content=message) if isinstance(message, bytes) else message
        )
    if close:
        await call.done_writing()


def results(responses: Sequence[Any]) -> list[tuple[str, bool]]:
    return [
        (result.alternatives[0].transcript, result.is_final) for response in responses for result in response.results
    ]


async def read_finals(call: Any, wanted: int) -> list[Any]:
    """Responses up to the wanted number of finals."""
    responses: list[Any] = []
    async for response in call:
        responses.append(response)
        if sum(final for _, final in results(responses)) >= wanted:
            break
    return responses


async def test_one_response_for_each_message_and_a_final_for_each_utterance(riva: FakeRiva, caller: Caller) -> None:
    call = caller.listen()
    await send(call, [config(), SILENCE, SPEECH, SPEECH], close=False)
    first = await read_finals(call, 1)
    assert results(first) == [("one", False), ("one two", False), ("one two", True)]
    assert len(first) == 4
    await send(call, [SILENCE, SPEECH, SILENCE])
    second = [response async for response in call]
    assert results(second) == [(" three", False), (" three", True)]
    assert await call.code() == grpc.StatusCode.OK
    await riva.log.wait_for("asr", "stream_closed")
    names = [event.name for event in riva.log.events("asr")]
    assert names == ["stream_opened", "config", "speech_start", "interim", "interim", "speech_end", "final_sent",
                     "speech_start", "interim", "speech_end", "final_sent", "half_close", "stream_closed"]  # fmt: skip
    ends, finals = riva.log.events("asr", "speech_end"), riva.log.events("asr", "final_sent")
    assert finals[0].t_ms - ends[0].t_ms >= 30  # never early; how late is for a benchmark to say
    assert finals[0].fields["wait_ms"] == round(finals[0].t_ms - ends[0].t_ms, 3)
    closed = riva.log.events("asr", "stream_closed")[0].fields
    assert (closed["how"], closed["messages"], closed["audio_bytes"]) == ("half_close", 6, 6 * 3200)
    assert closed["message_sizes"] == {3200: 6}


async def test_no_interims_unless_asked_and_word_times_when_asked(caller: Caller) -> None:
    call = caller.listen()
    await send(call, [config(interims=False, enable_word_time_offsets=True), SPEECH, SPEECH])
    responses = [response async for response in call]
    assert results(responses) == [("one two", True)]
    words = responses[-1].results[0].alternatives[0].words
    assert [(word.word, word.start_time, word.end_time) for word in words] == [("one", 0, 100), ("two", 100, 200)]


async def test_a_cancelled_stream_is_told_from_a_half_closed_one(riva: FakeRiva, caller: Caller) -> None:
    call = caller.listen()
    await send(call, [config(), SPEECH], close=False)
    await riva.log.wait_for("asr", "speech_start")
    call.cancel()
    (closed,) = await riva.log.wait_for("asr", "stream_closed")
    assert closed.fields["how"] == "cancelled"
    assert not riva.log.events("asr", "half_close")
    assert not riva.log.events("asr", "final_sent")


async def test_silence_alone_ends_in_an_empty_final(caller: Caller) -> None:
    call = caller.listen()
    await send(call, [config(), SILENCE])
    assert results([response async for response in call]) == [("", True)]


@pytest.mark.parametrize("honoured", [True, False])
async def test_force_eou(riva: FakeRiva, caller: Caller, honoured: bool) -> None:
    riva.use(script(asr={"honours_force_eou": honoured, "eou_ms": 1, "final_after_speech_end_ms": 60_000}))
    call = caller.listen()
    force = asr.StreamingRecognizeRequest(runtime_config={"force_eou": "true"})
    await send(call, [config(), SPEECH, force], close=not honoured)
    responses = await read_finals(call, 1)
    call.cancel()
    assert results(responses)[-1] == ("one two", True)
    assert riva.log.events("asr", "force_eou")[0].fields == {"honoured": honoured}
    (sent,) = await riva.log.wait_for("asr", "final_sent")
    assert sent.fields["why"] == ("force_eou" if honoured else "half_close")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (asr.StreamingRecognizeRequest(audio_content=SPEECH), "first message must contain streaming_config"),
        (config(sample_rate_hertz=4000), "sample_rate_hertz is 4000; allowed is 8000 to 96000"),
        (config(audio_channel_count=2), "Only mono audio supported."),
        (config(encoding=riva_audio_pb2.FLAC), "only LINEAR_PCM is spoken here"),
        (None, "no messages were sent"),
    ],
)
async def test_bad_streams_are_refused(caller: Caller, first: Any, message: str) -> None:
    call = caller.listen()
    if first is None:
        await call.done_writing()
    else:
        await call.write(first)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_finals(call, 1)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "refuse"}, "RESOURCE_EXHAUSTED"),
        ({"kind": "refuse", "status": "UNAVAILABLE"}, "UNAVAILABLE"),
        ({"kind": "reset", "after_ms": 100}, "UNAVAILABLE"),
        ({"kind": "reset", "after_utterances": 1, "status": "INTERNAL"}, "INTERNAL"),
        ({"kind": "idle_death", "gap_ms": 100}, "INVALID_ARGUMENT"),
    ],
)
async def test_streams_break_as_scripted_and_the_next_one_works(
    riva: FakeRiva, caller: Caller, fault: dict[str, Any], status: str
) -> None:
    riva.use(script(asr={"faults": [{**fault, "times": 1}]}))
    call = caller.listen()
    if (
        fault["kind"] != "refuse"
    ):  # grpc.aio tells INTERNAL to a caller who writes just when the server's status arrives
        await send(call, [config(), SPEECH], close=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_finals(call, 9)
    assert caught.value.code().name == status
    good = caller.listen()
    await send(good, [config(), SPEECH])
    assert results([response async for response in good])[-1][1]


async def test_a_stalled_stream_says_nothing(riva: FakeRiva, caller: Caller) -> None:
    riva.use(script(asr={"faults": [{"kind": "stall"}]}))
    call = caller.listen()
    await send(call, [config(), SPEECH, SPEECH])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read_finals(call, 1), 0.15)
    (closed,) = await riva.log.wait_for("asr", "stream_closed")
    assert closed.fields["how"] == "cancelled"


async def test_garbage_is_still_well_formed_protobuf(riva: FakeRiva, caller: Caller) -> None:
    riva.use(script(asr={"faults": [{"kind": "garbage"}]}))
    call = caller.listen()
    await send(call, [config(interims=False), SPEECH])
    final = [response async for response in call][-1]
    assert len(final.results[0].alternatives) == 0
    assert "<unk>" in final.results[1].alternatives[0].transcript


async def test_transcripts_per_stream(riva: FakeRiva, caller: Caller) -> None:
    riva.use(script(asr={"cycle_per": "stream"}))
    for _ in range(2):
        call = caller.listen()
        await send(call, [config(interims=False), SPEECH])
        assert results([response async for response in call]) == [("one two", True)]


async def test_offline_recognition_and_config(caller: Caller) -> None:
    offline = await caller.asr.Recognize(asr.RecognizeRequest(audio=SPEECH))
    assert offline.results[0].alternatives[0].transcript == "one two"
    models = (await caller.asr.GetRivaSpeechRecognitionConfig(asr.RivaSpeechRecognitionConfigRequest())).model_config
    assert models[0].parameters["type"] == "online"
    unknown = asr.RivaSpeechRecognitionConfigRequest(model_name="none")
    assert not (await caller.asr.GetRivaSpeechRecognitionConfig(unknown)).model_config
    voices = (await caller.tts.GetRivaSynthesisConfig(tts.RivaSynthesisConfigRequest())).model_config[0].parameters
    assert (voices["voice_name"], voices["subvoices"]) == ("English-US", "Female-1:0,Male-1:1")


async def test_speech_is_as_long_as_its_text_and_logged(riva: FakeRiva, caller: Caller) -> None:
    chunks = await caller.speak(text="hello world", sample_rate_hz=16000, enable_word_time_offsets=True)
    assert sum(len(chunk.audio) for chunk in chunks) == 2 * 16 * 11 * 60
    assert [(word.word, word.start_time, word.end_time) for word in chunks[0].meta.words] == [
        ("hello", 0, 330),
        ("world", 330, 660),
    ]
    assert not chunks[1].HasField("meta")
    (finished,) = await riva.log.wait_for("tts", "finished")
    assert finished.fields == {"chunks": 7, "audio_ms": 660.0}
    request, first = riva.log.events("tts", "request")[0], riva.log.events("tts", "first_chunk_sent")[0]
    assert request.fields["text"] == "hello world"
    assert first.t_ms - request.t_ms >= 5


async def test_unary_speech_is_the_same_audio(caller: Caller) -> None:
    streamed = await caller.speak(text="hello", sample_rate_hz=8000)
    whole = await caller.tts.Synthesize(tts.SynthesizeSpeechRequest(text="hello", sample_rate_hz=8000))
    assert whole.audio == b"".join(chunk.audio for chunk in streamed)
    assert whole.meta.text == "hello"


async def test_a_cancelled_text_is_logged_as_such(riva: FakeRiva, caller: Caller) -> None:
    riva.use(script(tts={"speed": 0.01}))
    call = caller.tts.SynthesizeOnline()
    await call.write(tts.SynthesizeSpeechRequest(text="hello world", sample_rate_hz=16000))
    await call.done_writing()
    await call.read()
    call.cancel()
    (cancelled,) = await riva.log.wait_for("tts", "cancelled")
    assert cancelled.fields == {"chunks": 1}


async def test_speech_faults(riva: FakeRiva, caller: Caller) -> None:
    faults = [
        {"kind": "error", "after_chunks": 2, "times": 1},
        {"kind": "empty", "skip": 1, "times": 1},
        {"kind": "slow", "first_chunk_ms": 50, "speed": 1000, "skip": 2, "times": 1},
        {"kind": "stall", "after_chunks": 1, "skip": 3, "times": 1},
    ]
    riva.use(script(tts={"faults": faults}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.speak(text="hello world", sample_rate_hz=16000)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert riva.log.events("tts", "failed")[0].fields == {"status": "INTERNAL", "chunks": 2}
    assert await caller.speak(text="hello world", sample_rate_hz=16000) == []
    assert len(await caller.speak(text="hello world", sample_rate_hz=16000)) == 7
    first, request = riva.log.events("tts", "first_chunk_sent", 2)[0], riva.log.events("tts", "request", 2)[0]
    assert first.t_ms - request.t_ms >= 50
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(caller.speak(text="hello world", sample_rate_hz=16000), 0.1)
    assert (await riva.log.wait_for("tts", "cancelled"))[0].fields == {"chunks": 1}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        (
            {"text": "x", "voice_name": "Nobody"},
            "voice_name 'Nobody' is unknown; allowed is one of English-US.Female-1",
        ),
        ({"text": "x", "sample_rate_hz": 96000}, "sample_rate_hz is 96000"),
        ({"text": "x" * 2001}, "text has 2001 characters"),
        ({"text": "x", "encoding": riva_audio_pb2.OGGOPUS}, "LINEAR_PCM"),
    ],
)
async def test_bad_texts_are_refused(caller: Caller, fields: dict[str, Any], part: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.speak(**fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert part in str(caught.value.details())


async def test_metadata_is_logged(riva: FakeRiva, caller: Caller) -> None:
    call = caller.asr.StreamingRecognize(metadata=(("function-id", "f"), ("authorization", "Bearer k")))
    await send(call, [config(), SILENCE])
    assert [response async for response in call]
    assert riva.log.events("asr", "stream_opened")[0].fields["metadata"] == {
        "function-id": "f",
        "authorization": "Bearer k",
    }

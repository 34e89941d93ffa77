"""Synthesis on the wire, as Riva's clients rely on it. Real gRPC; the scripted voice makes 250 ms of tone a word."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import numpy as np
import pytest
from riva.client.proto import riva_tts_pb2 as tts
from riva.client.proto import riva_tts_pb2_grpc as tts_grpc
from speech_harness import worker

from speech_worker.application.loudness import speech_level_dbfs
from speech_worker.application.pcm import to_float
from speech_worker.engines.scripted import ToneTtsEngine

pytestmark = pytest.mark.edge

UNAVAILABLE = "Error: Unavailable model requested given these parameters: "


def request(text: str = "one two three", **values: Any) -> tts.SynthesizeSpeechRequest:
    return tts.SynthesizeSpeechRequest(
        text=text, **{"language_code": "en-US", "sample_rate_hz": 16_000, "encoding": "LINEAR_PCM", **values}
    )


async def online(
    channel: grpc.aio.Channel, requests: Iterable[tts.SynthesizeSpeechRequest]
) -> list[tts.SynthesizeSpeechResponse]:
    async def sent() -> AsyncIterator[tts.SynthesizeSpeechRequest]:
        for one in requests:
            yield one

    stub = tts_grpc.RivaSpeechSynthesisStub(channel)
    return [response async for response in stub.SynthesizeOnline(sent(), timeout=20)]


def audio_of(responses: Iterable[tts.SynthesizeSpeechResponse]) -> bytes:
    return b"".join(response.audio for response in responses)


async def test_one_message_streams_in_chunks_the_first_one_short() -> None:
    async with worker() as (_, channel):
        responses = await online(channel, [request()])
    sizes = [len(response.audio) // 32 for response in responses]  # ms
    assert sizes[:3] == [60, 100, 200]
    assert sum(sizes) == 750
    assert all(response.meta.text == response.meta.processed_text == "one two three" for response in responses)


async def test_several_messages_are_spoken_in_order() -> None:
    async with worker() as (_, channel):
        responses = await online(
            channel, [request("one two"), request("three", voice_name="low"), request("four five")]
        )
    texts = [response.meta.text for response in responses]
    assert list(dict.fromkeys(texts)) == ["one two", "three", "four five"]
    assert len(audio_of(responses)) == 5 * 250 * 32


async def test_no_message_is_an_empty_answer() -> None:
    async with worker() as (_, channel):
        assert await online(channel, []) == []


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
async def test_any_rate_is_served(rate_hz: int) -> None:
    async with worker() as (_, channel):
        whole = await tts_grpc.RivaSpeechSynthesisStub(channel).Synthesize(request(sample_rate_hz=rate_hz), timeout=20)
        streamed = audio_of(await online(channel, [request(sample_rate_hz=rate_hz)]))
    assert streamed == whole.audio
    assert len(whole.audio) // 2 == pytest.approx(rate_hz * 0.75, abs=2)
    samples = to_float(whole.audio)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * rate_hz / len(samples) == pytest.approx(440, abs=3)


async def test_an_unset_rate_is_the_engine_s() -> None:
    async with worker() as (_, channel):
        unset = tts.SynthesizeSpeechRequest(text="one")
        response = await tts_grpc.RivaSpeechSynthesisStub(channel).Synthesize(unset, timeout=20)
    assert len(response.audio) == 2 * 24_000 // 4


async def test_word_times_come_when_asked_for_and_durations_always() -> None:
    async with worker() as (_, channel):
        responses = await online(channel, [request(enable_word_time_offsets=True)])
        words = [(w.word, w.start_time, w.end_time) for response in responses for w in response.meta.words]
        assert words == [("one", 0, 250), ("two", 250, 500), ("three", 500, 750)]
        without = await online(channel, [request()])
    assert not any(response.meta.words for response in without)
    durations = [duration for response in without for duration in response.meta.predicted_durations]
    assert durations == [0.25, 0.25, 0.25]


async def test_the_level_is_the_same_for_every_voice() -> None:
    async with worker() as (_, channel):
        for voice in ("high", "low"):
            response = await tts_grpc.RivaSpeechSynthesisStub(channel).Synthesize(request(voice_name=voice), timeout=20)
            assert speech_level_dbfs(to_float(response.audio), 16_000) == pytest.approx(-20, abs=0.5)


async def test_the_request_id_comes_back() -> None:
    one = request()
    one.id.value = "turn-3"
    async with worker() as (_, channel):
        assert {response.id.value for response in await online(channel, [one])} == {"turn-3"}
        assert (await tts_grpc.RivaSpeechSynthesisStub(channel).Synthesize(one)).id.value == "turn-3"


async def test_a_cancelled_call_stops_the_engine() -> None:
    engine = ToneTtsEngine()
    async with worker(tts=engine) as (_, channel):
        call = tts_grpc.RivaSpeechSynthesisStub(channel).SynthesizeOnline(timeout=20)
        await call.write(request("word " * 300))
        await call.read()
        assert engine.active == 1
        call.cancel()
        stub = tts_grpc.RivaSpeechSynthesisStub(channel)
        while engine.active:  # the server learns of it in its own time
            await stub.GetRivaSynthesisConfig(tts.RivaSynthesisConfigRequest())
    assert engine.stopped_early == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"text": " "}, "text is empty: say what should be spoken."),
        ({"encoding": "OGGOPUS"}, "Unsupported audio encoding OGGOPUS: LINEAR_PCM is supported."),
        ({"sample_rate_hz": 4_000}, "sample_rate_hz is 4000: 8000 to 96000 Hz are supported."),
        (
            {"language_code": "fr-FR"},
            f"{UNAVAILABLE}language_code=fr; sample_rate=16000; type=tts; ",
        ),
        (
            {"voice_name": "English-US.Female-1"},
            f"{UNAVAILABLE}language_code=en; sample_rate=16000; type=tts; voice_name=English-US.Female-1; ",
        ),
    ],
)
async def test_what_cannot_be_served_is_invalid_with_the_exact_text(values: dict[str, Any], text: str) -> None:
    async with worker() as (_, channel):
        for call in (
            online(channel, [request(**values)]),
            tts_grpc.RivaSpeechSynthesisStub(channel).Synthesize(request(**values)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert (refused.value.code().name, refused.value.details()) == ("INVALID_ARGUMENT", text)


async def test_the_voices_and_what_clients_read_of_them() -> None:
    async with worker() as (_, channel):
        stub = tts_grpc.RivaSpeechSynthesisStub(channel)
        listed = (await stub.GetRivaSynthesisConfig(tts.RivaSynthesisConfigRequest())).model_config
        found = [
            (m.model_name, m.parameters["language_code"], m.parameters["voice_name"], m.parameters["subvoices"])
            for m in listed
        ]
        assert found == [
            ("tone-en-US", "en-US", "tone-en-US", "high:0,low:1"), ("tone-de-DE", "de-DE", "tone-de-DE", "high:0"),
        ]  # fmt: skip
        for _, language_code, voice_name, subvoices in found:
            for subvoice in subvoices.split(","):
                full = f"{voice_name}.{subvoice.split(':')[0]}"
                assert audio_of(await online(channel, [request("one", voice_name=full, language_code=language_code)]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetRivaSynthesisConfig(tts.RivaSynthesisConfigRequest(model_name="nothing"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_full_worker_says_so_at_once() -> None:
    async with worker(max_tts_streams=1) as (_, channel):
        stub = tts_grpc.RivaSpeechSynthesisStub(channel)
        first = stub.SynthesizeOnline(timeout=20)
        await first.write(request())
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Synthesize(request())
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await first.done_writing()
        while await first.read() is not grpc.aio.EOF:
            pass
        assert await first.code() is grpc.StatusCode.OK
        assert (await stub.Synthesize(request())).audio


async def test_the_configured_voice_speaks_its_language_only() -> None:
    async with worker(tts_voice="low") as (_, channel):
        stub = tts_grpc.RivaSpeechSynthesisStub(channel)
        english = to_float((await stub.Synthesize(request("one two"))).audio)
        german = to_float((await stub.Synthesize(request("one two", language_code="de-DE"))).audio)
    pitches = [np.argmax(np.abs(np.fft.rfft(samples))) * 16_000 / len(samples) for samples in (english, german)]
    assert pitches == pytest.approx([220, 440], abs=3)

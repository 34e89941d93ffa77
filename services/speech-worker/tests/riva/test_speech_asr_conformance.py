"""Recognition on the wire, as Riva's clients rely on it. Real gRPC; the scripted engine hears a word per 250 ms."""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from riva.client.proto import riva_asr_pb2 as asr
from riva.client.proto import riva_asr_pb2_grpc as asr_grpc
from speech_harness import cut, question, silence, wav, worker

from speech_worker.engines.scripted import ScriptedAsrEngine

pytestmark = pytest.mark.edge

SPEECH = question("what-is-seven-times-six")
UNAVAILABLE = "Error: Unavailable model requested given these parameters: "
CHUNK = 3_200  # 100 ms at 16 kHz, as the official scripts send


def config(*, interim_results: bool = True, **values: Any) -> asr.StreamingRecognizeRequest:
    return asr.StreamingRecognizeRequest(
        streaming_config=asr.StreamingRecognitionConfig(
            config=asr.RecognitionConfig(**values), interim_results=interim_results
        )
    )


def audio(data: bytes, size: int = CHUNK) -> list[asr.StreamingRecognizeRequest]:
    return [asr.StreamingRecognizeRequest(audio_content=part) for part in cut(data, size)]


async def recognise(
    channel: grpc.aio.Channel, requests: Iterable[asr.StreamingRecognizeRequest], **options: Any
) -> list[asr.StreamingRecognizeResponse]:
    async def sent() -> AsyncIterator[asr.StreamingRecognizeRequest]:
        for request in requests:
            yield request

    stub = asr_grpc.RivaSpeechRecognitionStub(channel)
    return [response async for response in stub.StreamingRecognize(sent(), timeout=20, **options)]


def results(responses: Iterable[asr.StreamingRecognizeResponse]) -> list[asr.StreamingRecognitionResult]:
    return [result for response in responses for result in response.results]


def finals(responses: Iterable[asr.StreamingRecognizeResponse]) -> list[str]:
    return [result.alternatives[0].transcript for result in results(responses) if result.is_final]


async def refusal(channel: grpc.aio.Channel, *requests: asr.StreamingRecognizeRequest) -> tuple[str, str]:
    """Few messages: grpc.aio hides the status of a call that ended while its client was still writing."""
    call = asr_grpc.RivaSpeechRecognitionStub(channel).StreamingRecognize(timeout=20)
    for request in requests:
        await call.write(request)
    if not requests:
        await call.done_writing()
    return await end_of(call)


async def end_of(call: Any) -> tuple[str, str]:
    """Status of a call; grpc.aio knows it only when everything before was read."""
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    return (await call.code()).name, await call.details()


async def test_one_response_per_audio_message_and_one_more_with_the_last_final() -> None:
    async with worker() as (_, channel):
        messages = audio(SPEECH)
        responses = await recognise(channel, [config(), *messages])
    assert len(responses) == len(messages) + 1
    assert [len(response.results) for response in responses[:2]] == [0, 0]
    assert finals(responses) == ["one two three four five six"]
    assert responses[-1].results[0].is_final


async def test_interims_hold_the_whole_hypothesis_and_are_not_stable() -> None:
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(), *audio(SPEECH)])
    interims = [result for result in results(responses) if not result.is_final]
    texts = [result.alternatives[0].transcript for result in interims]
    assert texts == ["one", "one two", "one two three", "one two three four", "one two three four five", texts[-1]]
    assert all(result.stability == 0.0 for result in interims)
    assert all(result.alternatives[0].confidence == 0.0 and not result.alternatives[0].words for result in interims)


async def test_without_interim_results_only_finals_come() -> None:
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(interim_results=False), *audio(SPEECH)])
    assert [result.is_final for result in results(responses)] == [True]


async def test_results_after_the_first_final_have_a_leading_space_and_times_go_on() -> None:
    engine = ScriptedAsrEngine(script=("first line here", "second line"))
    pause = silence(1_200)
    async with worker(asr=engine) as (_, channel):
        responses = await recognise(
            channel, [config(enable_word_time_offsets=True), *audio(SPEECH + pause + SPEECH + pause)]
        )
    assert finals(responses) == ["first line here", " second line"]
    interims = [result.alternatives[0].transcript for result in results(responses) if not result.is_final]
    assert interims[-1] == " second line"
    first, second = (result for result in results(responses) if result.is_final)
    assert second.alternatives[0].words[0].word == "second"
    speech_ms = len(SPEECH) // 32
    assert second.alternatives[0].words[0].start_time > speech_ms + 500
    assert second.alternatives[0].words[0].end_time - second.alternatives[0].words[0].start_time == 250
    assert second.audio_processed > first.audio_processed > speech_ms / 1000


async def test_a_stream_in_which_nothing_was_said_ends_with_one_empty_final() -> None:
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(), *audio(silence(500))])
    assert [(result.is_final, result.alternatives[0].transcript) for result in results(responses)] == [(True, "")]
    assert results(responses)[0].audio_processed == pytest.approx(0.5)


async def test_after_a_final_a_silent_rest_adds_nothing() -> None:
    async with worker() as (_, channel):
        messages = audio(SPEECH + silence(1_200))
        responses = await recognise(channel, [config(), *messages])
    assert len(responses) == len(messages)
    assert len(finals(responses)) == 1


@pytest.mark.parametrize("requests", [[], audio(SPEECH)[:1], [asr.StreamingRecognizeRequest()]])
async def test_config_comes_first(requests: list[asr.StreamingRecognizeRequest]) -> None:
    async with worker() as (_, channel):
        assert await refusal(channel, *requests) == (
            "INVALID_ARGUMENT", "first message must contain streaming_config",
        )  # fmt: skip


async def test_config_comes_once() -> None:
    async with worker() as (_, channel):
        told = await refusal(channel, config(), *audio(SPEECH)[:2], config())
    assert told == ("INVALID_ARGUMENT", "streaming_config is allowed in the first message only")


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=30))
async def test_a_wav_header_is_audio_at_any_cut_and_its_rate_wins(sizes: list[int]) -> None:
    """The file says 8 kHz, the config 48: at 8 kHz the same bytes last twice as long as at 16."""
    data = wav(SPEECH, rate_hz=8_000)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    pieces.extend(cut(data[start:], CHUNK))
    requests = [asr.StreamingRecognizeRequest(audio_content=piece) for piece in pieces]
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(sample_rate_hertz=48_000), *requests])
    assert len(responses) in (len(requests), len(requests) + 1)
    assert results(responses)[-1].audio_processed == pytest.approx(2 * len(SPEECH) / 32_000, abs=0.05)


async def test_encoding_rate_and_language_may_be_unset() -> None:
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(), *audio(wav(SPEECH))])
    assert finals(responses) == ["one two three four five six"]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000, 96_000])
async def test_any_usual_rate_is_taken(rate_hz: int) -> None:
    data = bytes(rate_hz * 2)  # a second
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(sample_rate_hertz=rate_hz, encoding="LINEAR_PCM"), *audio(data)])
    assert results(responses)[-1].audio_processed == pytest.approx(1.0, abs=0.03)


async def test_force_eou_makes_a_final_now_with_and_without_audio() -> None:
    parts = audio(SPEECH)
    with_audio = asr.StreamingRecognizeRequest(audio_content=SPEECH[-CHUNK:], runtime_config={"force_eou": "true"})
    without = asr.StreamingRecognizeRequest(runtime_config={"force_eou": "true"})
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(), *parts, without])
        assert len(responses) == len(parts) + 1
        assert finals(responses) == ["one two three four five six"]
        responses = await recognise(channel, [config(), *parts[:-1], with_audio])
        assert len(responses) == len(parts)
        assert finals(responses) == ["one two three four five six"]
        responses = await recognise(channel, [config(), *audio(silence(300)), without])
        assert finals(responses) == [""]


async def test_two_pass_end_of_utterance() -> None:
    endpointing = asr.EndpointingConfig(stop_history=800, stop_history_eou=240)
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(endpointing_config=endpointing), *audio(SPEECH + silence(1_500))])
        stable = [result for result in results(responses) if result.stability == 1.0]
        assert [result.is_final for result in stable] == [False]
        final = next(result for result in results(responses) if result.is_final)
        assert stable[0].audio_processed == pytest.approx(final.audio_processed - 0.56, abs=0.05)
        custom = {"stop_history_eou": "240", "enable_vad_endpointing": "true", "neural_vad.onset": "0.65"}
        responses = await recognise(channel, [config(custom_configuration=custom), *audio(SPEECH + silence(1_500))])
        assert [result.stability for result in results(responses) if result.stability] == [1.0]


async def test_stop_history_decides_when_the_final_comes() -> None:
    async with worker() as (_, channel):
        ends = []
        for stop_history in (400, 1_200):
            endpointing = asr.EndpointingConfig(stop_history=stop_history)
            responses = await recognise(
                channel, [config(endpointing_config=endpointing), *audio(SPEECH + silence(2_000))]
            )
            ends.append(next(result.audio_processed for result in results(responses) if result.is_final))
    assert ends[1] - ends[0] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"language_code": "es-ES"},
            f"{UNAVAILABLE}language_code=es; sample_rate=16000; type=online; ",
        ),
        (
            {"model": "parakeet", "sample_rate_hertz": 8_000},
            f"{UNAVAILABLE}language_code=en; sample_rate=8000; type=online; model=parakeet; ",
        ),
        ({"encoding": "FLAC"}, "Unsupported audio encoding FLAC: LINEAR_PCM, MULAW and ALAW are supported."),
        ({"encoding": "OGGOPUS"}, "Unsupported audio encoding OGGOPUS: LINEAR_PCM, MULAW and ALAW are supported."),
        ({"audio_channel_count": 2}, "Only mono audio supported."),
        ({"sample_rate_hertz": 4_000}, "sample_rate_hertz is 4000: 8000 to 96000 Hz are supported."),
        (
            {"endpointing_config": asr.EndpointingConfig(stop_history_eou=900)},
            "endpointing_config.stop_history_eou is 900: it must be less than stop_history (800).",
        ),
        (
            {"custom_configuration": {"stop_history_eou": "soon"}},
            "custom_configuration.stop_history_eou is 'soon': a whole number of ms is allowed.",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_served_is_invalid_with_the_exact_text(values: dict[str, Any], text: str) -> None:
    async with worker() as (_, channel):
        assert await refusal(channel, config(**values)) == ("INVALID_ARGUMENT", text)


async def test_a_bad_header_in_the_audio_is_told_like_a_bad_config() -> None:
    async with worker() as (_, channel):
        stereo = wav(SPEECH, channels=2)[:60]  # two messages: the refusal may meet no third
        assert await refusal(channel, config(), *audio(stereo, 30)) == (
            "INVALID_ARGUMENT",
            "Only mono audio supported.",
        )


async def test_the_request_id_comes_back() -> None:
    first = config()
    first.id.value = "call-7"
    later = audio(SPEECH)[:2]
    later[1].id.value = "call-7-b"
    async with worker() as (_, channel):
        responses = await recognise(channel, [first, *later])
        assert [response.id.value for response in responses] == ["call-7", "call-7-b", "call-7"]
        request = asr.RecognizeRequest(audio=SPEECH)
        request.id.value = "file-1"
        assert (await asr_grpc.RivaSpeechRecognitionStub(channel).Recognize(request)).id.value == "file-1"


async def test_duplicate_metadata_is_tolerated() -> None:
    twice = (("authorization", "Bearer x"), ("authorization", "Bearer x"), ("function-id", "f"), ("function-id", "f"))
    async with worker() as (_, channel):
        responses = await recognise(channel, [config(), *audio(SPEECH)], metadata=twice)
    assert finals(responses) == ["one two three four five six"]


async def test_offline_gives_one_result_per_utterance() -> None:
    data = wav(SPEECH + silence(1_200) + SPEECH)
    async with worker(asr=ScriptedAsrEngine(script=("one two", "three"))) as (_, channel):
        stub = asr_grpc.RivaSpeechRecognitionStub(channel)
        request = asr.RecognizeRequest(config=asr.RecognitionConfig(enable_word_time_offsets=True), audio=data)
        response = await stub.Recognize(request, timeout=20)
        assert [result.alternatives[0].transcript for result in response.results] == ["one two", " three"]
        assert [word.word for word in response.results[0].alternatives[0].words] == ["one", "two"]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Recognize(asr.RecognizeRequest(config=asr.RecognitionConfig(language_code="ru-RU"), audio=data))
    assert refused.value.details() == (
        "Error: Unavailable model requested given these parameters: language_code=ru; sample_rate=16000; type=offline; "
    )


async def test_a_message_of_64_mib_is_taken() -> None:
    data = wav(SPEECH) + bytes(64 * 1024 * 1024 - len(SPEECH) - 200)
    async with (
        worker() as (running, _),
        grpc.aio.insecure_channel(running.address, options=[("grpc.max_send_message_length", -1)]) as channel,
    ):
        response = await asr_grpc.RivaSpeechRecognitionStub(channel).Recognize(
            asr.RecognizeRequest(audio=data), timeout=30
        )
    assert response.results[0].alternatives[0].transcript == "one two three four five six"


async def test_the_models_and_what_clients_read_of_them() -> None:
    async with worker() as (_, channel):
        stub = asr_grpc.RivaSpeechRecognitionStub(channel)
        listed = (await stub.GetRivaSpeechRecognitionConfig(asr.RivaSpeechRecognitionConfigRequest())).model_config
        assert [model.model_name for model in listed] == ["script-en-US-asr-streaming", "script-en-US-asr-offline"]
        read_by_clients = ("type", "language_code", "sample_rate_hertz", "streaming")
        assert {key: listed[0].parameters[key] for key in read_by_clients} == {
            "type": "online", "language_code": "en-US", "sample_rate_hertz": "16000", "streaming": "True",
        }  # fmt: skip
        one = asr.RivaSpeechRecognitionConfigRequest(model_name="script-en-US-asr-offline")
        assert [m.parameters["type"] for m in (await stub.GetRivaSpeechRecognitionConfig(one)).model_config] == [
            "offline"
        ]
        none = asr.RivaSpeechRecognitionConfigRequest(model_name="nothing")
        assert not (await stub.GetRivaSpeechRecognitionConfig(none)).model_config
        responses = await recognise(channel, [config(model="script-en-US-asr-streaming"), *audio(SPEECH)])
        assert finals(responses)


async def test_a_full_worker_says_so_at_once_and_again_takes_calls_later() -> None:
    engine = ScriptedAsrEngine(max_streams=1)
    async with worker(asr=engine) as (_, channel):
        stub = asr_grpc.RivaSpeechRecognitionStub(channel)
        first = stub.StreamingRecognize(timeout=20)
        await first.write(config())
        await first.write(audio(SPEECH)[0])
        await first.read()
        second = stub.StreamingRecognize(timeout=20)
        await second.write(config())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await second.read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.value.details() == "All 1 recognition streams of this worker are in use."
        status = rpc_status.from_call(refused.value)
        assert [detail.type_url.rsplit(".", 1)[1] for detail in status.details] == ["ErrorInfo", "RetryInfo"]
        await first.done_writing()
        assert await end_of(first) == ("OK", "")
        assert finals(await recognise(channel, [config(), *audio(SPEECH)]))
    assert engine.open_streams == 0


async def test_a_cancelled_stream_gives_its_slot_back() -> None:
    engine = ScriptedAsrEngine(max_streams=1)
    async with worker(asr=engine) as (_, channel):
        stub = asr_grpc.RivaSpeechRecognitionStub(channel)
        for _ in range(3):
            call = stub.StreamingRecognize(timeout=20)
            await call.write(config())
            await call.write(audio(SPEECH)[0])
            await call.read()
            call.cancel()
            while engine.open_streams:  # the server learns of it in its own time
                await stub.GetRivaSpeechRecognitionConfig(asr.RivaSpeechRecognitionConfigRequest())


async def test_a_stream_that_sends_nothing_is_ended() -> None:
    async with worker(stream_idle_s=0.05) as (_, channel):
        call = asr_grpc.RivaSpeechRecognitionStub(channel).StreamingRecognize(timeout=20)
        await call.write(config())
        assert await end_of(call) == (
            "DEADLINE_EXCEEDED", "No message came for 0.05 s: send silence or close the stream.",
        )  # fmt: skip


async def test_telephone_encodings_are_heard() -> None:
    quiet = {"MULAW": b"\xff", "ALAW": b"\xd5"}
    async with worker() as (_, channel):
        for encoding, byte in quiet.items():
            values = config(encoding=encoding, sample_rate_hertz=8_000)
            responses = await recognise(channel, [values, *audio(byte * 8_000)])
            assert results(responses)[-1].audio_processed == pytest.approx(1.0, abs=0.03)

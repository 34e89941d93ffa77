"""The calls of NVIDIA's own scripts, through the package they are built on: riva.client, synchronous, unchanged.

transcribe_file.py, transcribe_file_offline.py, riva_streaming_asr_client.py, talk.py with and without --stream,
--list-models and --list-voices; against a worker with its default engines, in a process of its own.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import riva.client
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from riva.client.proto import riva_asr_pb2, riva_tts_pb2
from speech_harness import AUDIO, words_of
from speech_process import WorkerProcess, worker_process

pytestmark = [pytest.mark.edge, pytest.mark.speech]

CAPACITY = 2


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerProcess]:
    with worker_process("--tts-engine", "espeak", "--max-asr-streams", str(CAPACITY)) as process:
        yield process


@pytest.fixture
def auth(worker: WorkerProcess) -> Iterator[riva.client.Auth]:
    found = riva.client.Auth(uri=worker.address)
    yield found
    found.channel.close()


def streaming_config() -> riva.client.StreamingRecognitionConfig:
    """As transcribe_file.py makes it: encoding and rate unset."""
    return riva.client.StreamingRecognitionConfig(
        config=riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1, verbatim_transcripts=True),
        interim_results=True,
    )


def transcribe(auth: riva.client.Auth, path: Path) -> str:
    """What transcribe_file.py prints as finals. The file's header goes out as audio."""
    service = riva.client.ASRService(auth)
    with riva.client.AudioChunkFileIterator(path, 1600) as chunks:
        responses = service.streaming_response_generator(audio_chunks=chunks, streaming_config=streaming_config())
        return "".join(
            result.alternatives[0].transcript
            for response in responses
            for result in response.results
            if result.is_final
        )  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.stem for path in AUDIO.glob("*.wav")))
def test_transcribe_file(auth: riva.client.Auth, name: str) -> None:
    assert transcribe(auth, AUDIO / f"{name}.wav") == words_of(name)


def test_transcribe_file_offline(auth: riva.client.Auth) -> None:
    data = (AUDIO / "what-is-my-name.wav").read_bytes()
    config = riva.client.RecognitionConfig(
        language_code="en-US", max_alternatives=1, verbatim_transcripts=True, enable_word_time_offsets=True
    )
    response = riva.client.ASRService(auth).offline_recognize(data, config)
    best = response.results[0].alternatives[0]
    assert best.transcript == "what is my name"
    assert [word.word for word in best.words] == ["what", "is", "my", "name"]
    times = [(word.start_time, word.end_time) for word in best.words]
    assert all(start < end for start, end in times)
    assert times == sorted(times)
    assert 0 < best.confidence <= 1


def test_riva_streaming_asr_client_with_all_its_options_and_several_clients(auth: riva.client.Auth) -> None:
    config = streaming_config()
    riva.client.add_word_boosting_to_config(config, ["capital", "france"], 10.0)
    riva.client.add_endpoint_parameters_to_config(config, 300, 0.2, 800, 240, 0.98, 0.98)
    riva.client.add_custom_configuration_to_config(config, "enable_vad_endpointing:true,neural_vad.onset:0.65")
    path = AUDIO / "what-is-seven-times-six.wav"
    riva.client.add_audio_file_specs_to_config(config, path)

    def one_client(_: int) -> str:
        with riva.client.AudioChunkFileIterator(path, 1600) as chunks:
            responses = riva.client.ASRService(auth).streaming_response_generator(chunks, config)
            return "".join(
                r.alternatives[0].transcript for response in responses for r in response.results if r.is_final
            )

    with ThreadPoolExecutor(CAPACITY) as pool:
        assert list(pool.map(one_client, range(CAPACITY))) == ["what is seven times six"] * CAPACITY


def test_print_streaming_takes_what_comes(auth: riva.client.Auth, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    with riva.client.AudioChunkFileIterator(AUDIO / "my-name-is-sarah.wav", 1600) as chunks:
        riva.client.print_streaming(
            riva.client.ASRService(auth).streaming_response_generator(chunks, streaming_config()),
            output_file=str(out), show_intermediate=True,
        )  # fmt: skip
    lines = out.read_text().splitlines()
    assert lines[-1] == "## my name is sarah"
    assert all(line.startswith(">> ") for line in lines[:-1])


def test_list_models(auth: riva.client.Auth) -> None:
    service = riva.client.ASRService(auth)
    response = service.stub.GetRivaSpeechRecognitionConfig(riva_asr_pb2.RivaSpeechRecognitionConfigRequest())
    models = {
        model.parameters["type"]: (model.model_name, model.parameters["language_code"])
        for model in response.model_config
    }
    assert models == {
        "online": ("pocketsphinx-en-US-asr-streaming", "en-US"), "offline": ("pocketsphinx-en-US-asr-offline", "en-US"),
    }  # fmt: skip


def test_talk_with_and_without_stream(auth: riva.client.Auth) -> None:
    service = riva.client.SpeechSynthesisService(auth)
    text = "Please turn on the lights in the kitchen."
    streamed = list(service.synthesize_online(text, None, "en-US", sample_rate_hz=44_100))
    whole = service.synthesize(text, None, "en-US", sample_rate_hz=44_100)
    assert len(streamed) > 5
    assert b"".join(response.audio for response in streamed) == whole.audio
    assert 1.0 < len(whole.audio) / 88_200 < 4.0
    assert [word.word for word in service.synthesize(text, enable_word_time_offsets=True).meta.words] == text.split()
    several = list(service.synthesize_online(["One.", "Two."], None, "en-US", sample_rate_hz=16_000))
    assert {response.meta.text for response in several} == {"One.", "Two."}


def test_list_voices_and_speak_with_each_english_one(auth: riva.client.Auth) -> None:
    service = riva.client.SpeechSynthesisService(auth)
    response = service.stub.GetRivaSynthesisConfig(riva_tts_pb2.RivaSynthesisConfigRequest())
    voices: dict[str, list[str]] = {}
    for model in response.model_config:
        names = [part.split(":")[0] for part in model.parameters["subvoices"].split(",")]
        full = [f"{model.parameters['voice_name']}.{name}" for name in names]
        voices.setdefault(model.parameters["language_code"], []).extend(full)
    assert "espeak-en-US.klatt5" in voices["en-US"]
    assert "espeak-de-DE.klatt5" in voices["de-DE"]
    for voice in voices["en-US"]:
        assert service.synthesize("Hello.", voice, "en-US").audio
    assert service.synthesize("Guten Morgen.", None, "de-DE").audio


def test_an_unknown_language_gets_riva_s_sentence(auth: riva.client.Auth) -> None:
    config = riva.client.RecognitionConfig(language_code="es-US")
    with pytest.raises(grpc.RpcError) as refused:
        riva.client.ASRService(auth).offline_recognize(b"\0" * 3200, config)
    assert refused.value.details() == (
        "Error: Unavailable model requested given these parameters: language_code=es; sample_rate=16000; type=offline; "
    )


def test_health_and_reflection(auth: riva.client.Auth) -> None:
    names = ["nvidia.riva.asr.RivaSpeechRecognition", "nvidia.riva.tts.RivaSpeechSynthesis"]
    stub = health_pb2_grpc.HealthStub(auth.channel)
    for name in ("", *names):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as refused:
        stub.Check(health_pb2.HealthCheckRequest(service="nothing"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    listed = set(ProtoReflectionDescriptorDatabase(auth.channel).get_services())
    assert {*names, "grpc.health.v1.Health"} <= listed

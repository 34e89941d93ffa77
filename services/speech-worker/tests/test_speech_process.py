"""The command: says when it serves, refuses what it cannot do, leaves nothing behind."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc
from speech_harness import question
from speech_process import all_gone, worker_process

from servicekit.settings import SettingsError
from speech_worker.__main__ import read_settings

TTS_ONLY = ("--asr-engine", "none", "--tts-engine", "espeak", "--max-tts-streams", "2")


@pytest.mark.edge
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_no_engine_process_stays(how: signal.Signals) -> None:
    with worker_process(*TTS_ONLY) as worker:
        family = worker.family()
        assert len(family) == 3  # one that prepares, two that speak
        worker.process.send_signal(how)
        assert worker.process.wait(timeout=20) == 0
        assert all_gone(family, within_s=5)


@pytest.mark.edge
@pytest.mark.speech
def test_calls_that_run_end_well_after_sigterm_and_health_says_that_it_stops() -> None:
    """The stream is open when the signal comes; its audio and its half-close come after it."""
    with (
        worker_process("--tts-engine", "none", "--max-asr-streams", "1") as worker,
        grpc.insecure_channel(worker.address) as channel,
    ):
        stopping = threading.Event()

        def requests() -> Iterator[riva_asr_pb2.StreamingRecognizeRequest]:
            yield riva_asr_pb2.StreamingRecognizeRequest(streaming_config=riva_asr_pb2.StreamingRecognitionConfig())
            yield riva_asr_pb2.StreamingRecognizeRequest(audio_content=bytes(3_200))
            assert stopping.wait(20)
            yield riva_asr_pb2.StreamingRecognizeRequest(audio_content=question("what-is-my-name"))

        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        responses = riva_asr_pb2_grpc.RivaSpeechRecognitionStub(channel).StreamingRecognize(requests(), timeout=30)
        next(responses)
        worker.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        stopping.set()
        results = [result for response in responses for result in response.results]
        assert results[-1].is_final
        assert results[-1].alternatives[0].transcript == "what is my name"
        assert worker.process.wait(timeout=20) == 0


@pytest.mark.edge
@pytest.mark.speech
def test_no_engine_process_outlives_a_killed_worker() -> None:
    with worker_process("--max-asr-streams", "2", "--tts-engine", "espeak", "--max-tts-streams", "2") as worker:
        family = worker.family()
        assert len(family) == 6
        worker.process.kill()
        worker.process.wait(timeout=20)
        assert all_gone(family, within_s=5)


@pytest.mark.edge
def test_an_engine_that_cannot_be_loaded_ends_the_start_with_one_sentence() -> None:
    command = [sys.executable, "-m", "speech_worker", "--listen-address", "127.0.0.1:0", "--tts-engine", "tone"]
    command += ["--asr-engine", "faster-whisper", "--asr-model-dir", "/no/such/model"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("SPEECH_ASR_MODEL_DIR is /no/such/model: model.bin, config.json is not there.")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("flags", "environ", "named"),
    [
        (["--tts-engine", "loud"], {}, "SPEECH_TTS_ENGINE"),
        ([], {"SPEECH_MAX_ASR_STREAMS": "0"}, "SPEECH_MAX_ASR_STREAMS"),
        ([], {"SPEECH_LISTEN_ADDRESS": "localhost"}, "SPEECH_LISTEN_ADDRESS"),
        (["--start-threshold", "2"], {}, "SPEECH_START_THRESHOLD"),
    ],
)
def test_a_wrong_value_is_refused_by_name(flags: list[str], environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(flags, environ)
    assert len(refused.value.problems) == 1
    assert named in refused.value.problems[0]


def test_a_first_pass_longer_than_the_end_is_refused() -> None:
    with pytest.raises(SettingsError, match="must be less than stop_history"):
        read_settings(["--stop-history-eou-ms", "900"], {})


def test_flags_win_over_the_environment() -> None:
    settings = read_settings(["--max-asr-streams", "7"], {"SPEECH_MAX_ASR_STREAMS": "3", "SPEECH_TTS_VOICE": "slt"})
    assert (settings.max_asr_streams, settings.tts_voice) == (7, "slt")

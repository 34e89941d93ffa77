"""The command: says when it serves, refuses what it cannot do, leaves nothing behind."""

import signal
import subprocess
import sys

import pytest
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

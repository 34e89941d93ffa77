"""The models of a process as the server makes them from settings: loaded, or refused with a sentence."""

from pathlib import Path

import pytest
from gateway_onnx import turn_model

from servicekit.settings import SettingsError
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.adapters.silero_model import installed_model
from voice_gateway.adapters.silero_vad import SileroVad
from voice_gateway.adapters.webrtc_vad import WebRtcVad
from voice_gateway.server import audio_tools, end_of_turn_model
from voice_gateway.settings import load


@pytest.mark.parametrize(("environ", "kind"), [({}, SileroVad), ({"VAD_ENGINE": "webrtc"}, WebRtcVad)])
async def test_the_engine_is_the_one_that_is_set(environ: dict[str, str], kind: type) -> None:
    async with audio_tools(load(environ=environ), PrometheusTelemetry()) as tools:
        one, other = tools.voice_activity(16_000), tools.voice_activity(48_000)
    assert type(one) is type(other) is kind
    assert one.frame_samples == 320


async def test_a_model_of_one_s_own() -> None:
    settings = load(environ={"VAD_MODEL_PATH": str(installed_model().with_name("silero_vad_16k_op15.onnx"))})
    async with audio_tools(settings, PrometheusTelemetry()) as tools:
        assert not await tools.voice_activity(16_000).is_speech(bytes(640))


async def test_what_cannot_be_loaded_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "text.onnx"
    file.write_text("not a model")
    with pytest.raises(SettingsError, match=r"VAD_MODEL_PATH is .*text\.onnx; allowed is a readable ONNX model"):
        async with audio_tools(load(environ={"VAD_MODEL_PATH": str(file)}), PrometheusTelemetry()):
            pass
    with pytest.raises(SettingsError, match=r"TURN_MODEL_PATH is .*text\.onnx; allowed is a readable ONNX model"):
        async with end_of_turn_model(load(environ={"TURN_MODEL_PATH": str(file)})):
            pass


@pytest.mark.parametrize("key", ["VAD_MODEL_PATH", "TURN_MODEL_PATH"])
def test_a_file_that_is_not_there_is_refused_with_the_settings(key: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{key} is .*; allowed is an ONNX file that exists, or empty"):
        load(environ={key: str(tmp_path / "gone.onnx")})


def test_speech_that_ends_above_where_it_begins_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"VAD_LEAVE_SCORE is 0\.6; allowed is VAD_ENTER_SCORE, which is 0\.5, or"):
        load(environ={"VAD_LEAVE_SCORE": "0.6"})


async def test_turns_are_judged_where_a_model_is_named(tmp_path: Path) -> None:
    async with end_of_turn_model(load(environ={})) as none:
        assert none is None
    settings = load(environ={"TURN_MODEL_PATH": str(turn_model(tmp_path / "t.onnx")), "TURN_MODEL_TIMEOUT_MS": "2000"})
    async with end_of_turn_model(settings) as model:
        assert model is not None
        assert 0 <= await model.score(bytes(32_000)) <= 1

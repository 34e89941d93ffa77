"""The end-of-turn model: its features against an independent computation, its refusals, its thread and deadline."""

import asyncio
import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_onnx import turn_model
from gateway_signals import SENTENCES, sentences, waves, white

from voice_gateway.adapters.log_mel import log_mel
from voice_gateway.adapters.onnx_models import ModelUnusable
from voice_gateway.adapters.turn_model import MAX_WAITING, THREAD_NAME, TurnJudge, features, judging_turns
from voice_gateway.application.ports import EndOfTurnModel, EndOfTurnUnknown

SECOND = 2 * 16_000


def whisper_features(samples: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    """By faster-whisper. One module of it: the package wants PyAV, which is not installed (see pyproject.toml)."""
    package = importlib.util.find_spec("faster_whisper")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location(
        "whisper_features", Path(package.origin).parent / "feature_extractor.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FeatureExtractor(chunk_length=8)(samples, padding=0)


def speech(seconds: float) -> bytes:
    signal, _, _ = sentences(16_000, -6)
    return signal.astype("<i2").tobytes()[SECOND : SECOND + int(seconds * SECOND)]


def test_features_are_those_of_whisper() -> None:
    assert SENTENCES
    signals = {
        "speech": np.frombuffer(speech(8), "<i2") / 32_768,
        "noise": white(8, 16_000, -30) / 32_768,
        "tones": waves(8, 16_000, (440, -20), (3_000, -40), (7_900, -30)) / 32_768,
    }
    for name, signal in signals.items():
        samples = signal.astype(np.float32)
        theirs = whisper_features(samples)
        ours = log_mel(samples)
        assert ours.shape == (80, 800), name
        assert ours.dtype == np.float32, name
        assert np.abs(ours - theirs).max() < 1e-3, name


def test_the_last_eight_seconds_are_heard_with_silence_before_a_short_turn() -> None:
    short = features(speech(2))
    assert short.shape == (1, 80, 800)
    assert short.dtype == np.float32
    assert np.ptp(short[0, :, 1:595], axis=1).max() < 1e-4, "silence first"
    assert np.ptp(short[0, :, 605:], axis=1).min() > 0.1
    tail = speech(8)
    assert (features(bytes(5 * SECOND) + tail) == features(tail)).all()
    assert (features(b"") == features(bytes(SECOND))).all()


def test_loudness_does_not_matter() -> None:
    pcm = np.frombuffer(speech(8), "<i2")
    quiet = (pcm // 8).astype("<i2").tobytes()
    assert np.abs(features(pcm.tobytes()) - features(quiet)).mean() < 0.02


async def test_a_probability_comes_back_from_the_named_thread(tmp_path: Path) -> None:
    judge = TurnJudge(turn_model(tmp_path / "turn.onnx"))
    async with judging_turns(judge, timeout_ms=5_000) as running:
        model: EndOfTurnModel = running
        speaking, silent = await asyncio.gather(model.score(speech(3)), model.score(speech(3) + bytes(SECOND)))
        assert THREAD_NAME in {thread.name for thread in threading.enumerate()}
    assert 0 <= silent < speaking <= 1
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_a_logit_is_made_a_probability(tmp_path: Path) -> None:
    pcm = speech(3)
    logit = TurnJudge(turn_model(tmp_path / "logit.onnx", sigmoid=False), "logit").probability(pcm)
    assert logit == pytest.approx(TurnJudge(turn_model(tmp_path / "turn.onnx")).probability(pcm))
    for scale, limit in ((1e9, 1.0), (-1e9, 0.0)):
        file = turn_model(tmp_path / "far.onnx", sigmoid=False, scale=scale)
        assert TurnJudge(file, "logit").probability(bytes(SECOND) + white(1, 16_000, -20).astype("<i2").tobytes()) in (
            pytest.approx(limit), pytest.approx(1 - limit),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            {"sigmoid": False, "scale": 9},
            "that is no probability; allowed is a model that gives one, or TURN_MODEL_OUTPUT",
        ),
        (
            {"shape": (1, 80, 3_000)},
            r"which takes input_features tensor\(float\) \[1, 80, 3000\]; allowed is a model whose",
        ),
        ({"name": "audio"}, "which takes audio"),
        ({"wide": True}, "which answers with more than one number; allowed is one"),
    ],
)
def test_what_is_no_model_of_turns_is_refused(made: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=rf"TURN_MODEL_PATH is .*turn\.onnx.*{sentence}"):
        TurnJudge(turn_model(tmp_path / "turn.onnx", **made))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"TURN_MODEL_PATH is .*, which is no file; allowed is an ONNX model"):
        TurnJudge(tmp_path / "gone.onnx")


class Held(TurnJudge):
    """A judge that takes its time, or fails."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.heard: list[bytes] = []
        self.error: Exception | None = None

    def probability(self, pcm: bytes) -> float:
        self.begun.set()
        assert self.go_on.wait(10)
        self.heard.append(pcm)
        if self.error is not None:
            raise self.error
        return 0.75


async def test_at_the_deadline_there_is_no_answer_and_late_requests_are_not_run() -> None:
    judge = Held()
    async with judging_turns(judge, timeout_ms=20) as model:
        first = asyncio.create_task(model.score(b"first"))
        assert await asyncio.to_thread(judge.begun.wait, 10)
        second = asyncio.create_task(model.score(b"second"))
        for asked in (first, second):
            with pytest.raises(EndOfTurnUnknown, match="no answer within 20 ms"):
                await asked
        judge.go_on.set()
    assert judge.heard == [b"first"]


async def test_a_bounded_number_waits_and_makes_room_again() -> None:
    judge = Held()
    async with judging_turns(judge, timeout_ms=5_000) as model:
        asked = [asyncio.create_task(model.score(b"")) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(EndOfTurnUnknown, match=f"{MAX_WAITING} requests wait"):
            await model.score(b"")
        judge.go_on.set()
        assert await asyncio.gather(*asked) == [0.75] * MAX_WAITING
        assert await model.score(b"") == 0.75


async def test_a_failure_is_no_answer_and_a_cancelled_call_leaves_no_trace() -> None:
    judge = Held()
    async with judging_turns(judge, timeout_ms=5_000) as model:
        gone = asyncio.create_task(model.score(b"gone"))
        assert await asyncio.to_thread(judge.begun.wait, 10)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        judge.error = RuntimeError("out of memory")
        judge.go_on.set()
        with pytest.raises(EndOfTurnUnknown, match="the model failed: out of memory"):
            await model.score(b"next")
        judge.error = None
        assert await model.score(b"last") == 0.75

"""An end-of-turn model in ONNX, of the kind of Smart Turn v3 (pipecat-ai): has the caller finished, by the sound?

It hears the last 8 s, with zeros before a shorter turn, brought to zero mean and unit variance, as log-mel features;
and gives one number for each request. Smart Turn's is a probability, though its output is called "logits"; a name tells
nothing, so the setting does, and a number that can't be one is refused.

One named thread runs it, one request after the other. No weights come with this project.
"""

import asyncio
import math
import queue
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voice_gateway.adapters.log_mel import BANDS, RATE_HZ, STEP, log_mel
from voice_gateway.adapters.onnx_models import ModelUnusable, open_session, told
from voice_gateway.application.ports import EndOfTurnUnknown

KEY = "TURN_MODEL_PATH"
THREAD_NAME = "turn-model"

HEARD_SAMPLES = 8 * RATE_HZ
FRAMES = HEARD_SAMPLES // STEP
INPUT = "input_features"

SMALLEST_VARIANCE = 1e-7

MAX_WAITING = 8
"""Requests on their way. Each takes tens of ms: those behind would come after their deadline anyway."""

STOP_S = 5.0

Output = Literal["probability", "logit"]


def features(pcm: bytes) -> NDArray[np.float32]:
    """What the model is given, (1, 80, 800), of s16le mono at 16 kHz: its last 8 s, zeros before it if shorter."""
    heard = np.frombuffer(pcm[-2 * HEARD_SAMPLES :], "<i2").astype(np.float32) / np.float32(32_768)
    samples = np.concatenate((np.zeros(HEARD_SAMPLES - heard.size, np.float32), heard))
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(SMALLEST_VARIANCE))
    return log_mel(samples)[np.newaxis]


class TurnJudge:
    """The model in memory. `probability` blocks for tens of ms."""

    def __init__(self, file: Path, output: Output = "probability") -> None:
        """Load and check, with a trial on silence and on noise. Raises `ModelUnusable`."""
        self._session = open_session(file, KEY)
        self._output = output
        inputs = self._session.get_inputs()
        allowed = f"allowed is a model whose one input is {INPUT}, float32 of shape (1, {BANDS}, {FRAMES})"
        if [each.name for each in inputs] != [INPUT] or not _fits(inputs[0].shape) or "float)" not in inputs[0].type:
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs) or "nothing"
            raise ModelUnusable(f"{KEY} is {file}, which takes {found}; {allowed}")
        noise = np.random.default_rng(0).normal(0, 3_000, RATE_HZ).astype("<i2").tobytes()
        for pcm in (b"", noise):
            try:
                value = self._value(pcm)
            except Exception as error:
                raise ModelUnusable(f"{KEY} is {file}, which does not run; {allowed} ({told(error)})") from error
            if value is None:
                raise ModelUnusable(f"{KEY} is {file}, which answers with more than one number; allowed is one")
            if output == "probability" and not 0 <= value <= 1:
                raise ModelUnusable(
                    f"{KEY} is {file}, which answers {value:.3g}: that is no probability; allowed is a model that "
                    "gives one, or TURN_MODEL_OUTPUT=logit"
                )

    def probability(self, pcm: bytes) -> float:
        """That the turn is complete. Raises `EndOfTurnUnknown` for a number that can't be one."""
        value = self._value(pcm)
        if value is None or not math.isfinite(value):
            raise EndOfTurnUnknown(f"the model answers {value}")
        if self._output == "logit":
            return 1 / (1 + math.exp(-max(-700.0, value)))
        if not 0 <= value <= 1:
            raise EndOfTurnUnknown(f"the model answers {value:.3g}, which is no probability")
        return value

    def _value(self, pcm: bytes) -> float | None:
        """The model's number; None where it is not one."""
        answer: NDArray[np.float32] = np.asarray(self._session.run(None, {INPUT: features(pcm)})[0])
        return float(answer.reshape(-1)[0]) if answer.size == 1 else None


def _fits(shape: list[Any]) -> bool:
    """Whether (1, 80, 800) goes in: free dimensions have a name or none."""
    wanted = (1, BANDS, FRAMES)
    return len(shape) == len(wanted) and all(
        not isinstance(size, int) or size == want for size, want in zip(shape, wanted, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    pcm: bytes
    due_s: float
    """On the loop's clock: what starts later is not run."""
    answer: "asyncio.Future[float]"


class OnnxTurnModel:
    """The EndOfTurnModel port. `score` is called on the loop only."""

    def __init__(self, judge: TurnJudge, *, timeout_ms: int) -> None:
        self._judge = judge
        self._timeout_s = timeout_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._waiting = 0
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after the run under way. Who still waits is told at its deadline."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, STOP_S)

    async def score(self, pcm: bytes) -> float:
        """Probability that the turn is complete. Raises `EndOfTurnUnknown` when too many wait, at the deadline and when
        the model fails.
        """
        if self._waiting >= MAX_WAITING:
            raise EndOfTurnUnknown(f"{self._waiting} requests wait for the model")
        asked = _Asked(pcm, self._loop.time() + self._timeout_s, self._loop.create_future())
        self._waiting += 1
        self._queue.put(asked)
        try:
            async with asyncio.timeout_at(asked.due_s):
                return await asked.answer
        except TimeoutError:
            raise EndOfTurnUnknown(f"no answer within {round(self._timeout_s * 1000)} ms") from None

    def _back(self, asked: _Asked, answer: float | EndOfTurnUnknown) -> None:
        self._waiting -= 1
        if asked.answer.done():
            return
        if isinstance(answer, EndOfTurnUnknown):
            asked.answer.set_exception(answer)
        else:
            asked.answer.set_result(answer)

    def _run(self) -> None:
        """The thread."""
        while (asked := self._queue.get()) is not None:
            answer: float | EndOfTurnUnknown
            try:
                late = asked.answer.done() or self._loop.time() >= asked.due_s
                answer = EndOfTurnUnknown("too late to begin") if late else self._judge.probability(asked.pcm)
            except EndOfTurnUnknown as unknown:
                answer = unknown
            except Exception as error:  # noqa: BLE001 - the runtime's errors have no base of their own
                answer = EndOfTurnUnknown(f"the model failed: {told(error)}")
            try:
                self._loop.call_soon_threadsafe(self._back, asked, answer)
            except RuntimeError:
                return  # the loop is closed: nobody waits


@asynccontextmanager
async def judging_turns(judge: TurnJudge, *, timeout_ms: int) -> AsyncIterator[OnnxTurnModel]:
    """A model whose thread lives as long as the context."""
    model = OnnxTurnModel(judge, timeout_ms=timeout_ms)
    model.start()
    try:
        yield model
    finally:
        await model.stop()

"""Neural voice activity of all calls of a process: one named thread, frames of different calls in one run.

The loop side collects what calls ask in one turn of the loop and hands it over with one call; the thread runs the model
and comes back with one `call_soon_threadsafe`. One batch is on its way at a time, and batches leave at
most every `BATCH_MS`, unless all who asked the last one ask again: what is asked meanwhile makes the next one. So the
cost of a run is shared where it adds up, and a call that is alone, or files sent faster than real time, never wait.

When the thread falls behind (an answer takes `DEADLINE_MS`), when `MAX_WAITING` frames wait or when a run fails, the
answer is None: the gate alone decides. It is counted each time, and logged at most once in `LOG_EVERY_S`.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from servicekit.logs import get_logger

THREAD_NAME = "vad-scorer"

BATCH_MS = 20.0
"""A run after a pause costs 0.5 ms before its first frame, since the weights have left the processor's caches; 100
calls make 17 frames a batch. It delays only what hangs on a score: the start of speech, and speech in noise."""

DEADLINE_MS = 60.0
"""Three frames of audio. A batch of 100 takes 4 ms."""

MAX_WAITING = 512
"""Frames asked for and not yet handed over: five of each of 100 calls."""

LOG_EVERY_S = 60.0

STOP_S = 5.0
"""For the run under way when the process ends; a run takes milliseconds."""

FULL_SCALE = np.float32(32_768.0)

State = NDArray[np.float32]

log = get_logger(__name__)


class Model(Protocol):
    """What runs on the thread."""

    def run(
        self, windows: NDArray[np.float32], states: NDArray[np.float32], rate_hz: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,) and states (2, N, 128) of windows (N, samples)."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer: the probability of speech, and the state (2, 128) to ask the next time with."""

    score: float
    state: State


@dataclass(frozen=True, slots=True)
class Asked:
    """One frame of one call. `pcm` holds the frame with its context, 16 bit at `rate_hz`."""

    pcm: bytes
    gain: float
    rate_hz: int
    state: State
    asker: int
    """Tells calls apart."""
    answer: "asyncio.Future[Scored | None]"


class ScorerCounts(Protocol):
    """Counts. Calls are cheap and never fail."""

    def vad_batch(self, frames: int) -> None:
        """A batch was scored."""
        ...

    def vad_unscored(self, reason: str) -> None:
        """A frame was left to the gate: "behind", "full" or "failed"."""
        ...


class VadScorer:
    """The loop's side and the thread's. `ask` is called on the loop only."""

    def __init__(self, model: Model, counts: ScorerCounts, *, deadline_ms: float = DEADLINE_MS) -> None:
        self._model = model
        self._counts = counts
        self._deadline_s = deadline_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[list[Asked] | None] = queue.SimpleQueue()
        self._waiting: list[Asked] = []
        self._running: list[Asked] = []
        self._behind = False
        self._logged_s = -LOG_EVERY_S
        """When it was last logged that the gate decides alone."""
        self._leaving: asyncio.Handle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._left_s = 0.0
        """When the last batch was handed over."""
        self._expected: set[int] = set()
        """Who asked the last batch and has not asked since."""
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread and answer what waits with None."""
        self._behind = True
        for handle in (self._leaving, self._deadline):
            if handle is not None:
                handle.cancel()
        self._answer_none([*self._running, *self._waiting])
        self._waiting = []
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, STOP_S)

    def ask(
        self, pcm: bytes, gain: float, rate_hz: int, state: State, asker: int
    ) -> "asyncio.Future[Scored | None] | None":
        """The probability that the frame is speech, within a tenth of a second; None, now or then, where the gate must
        decide alone. `pcm` is the frame with its context (`window_samples`), `gain` is applied to it, `state` (2, 128)
        float32 comes from the answer before, zeros at first, and `asker` tells calls apart.
        """
        if self._behind or len(self._waiting) >= MAX_WAITING:
            self._unscored("behind" if self._behind else "full")
            return None
        asked = Asked(pcm, gain, rate_hz, state, asker, self._loop.create_future())
        self._waiting.append(asked)
        self._expected.discard(asker)
        if not self._running and (self._leaving is None or not self._expected):
            self._leave_soon()
        return asked.answer

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def _leave_soon(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        wait_s = self._left_s + BATCH_MS / 1000 - self._loop.time()
        if wait_s <= 0 or not self._expected:
            # Not at once: what other calls ask in this turn of the loop goes along.
            self._leaving = self._loop.call_soon(self._leave)
        else:
            self._leaving = self._loop.call_later(wait_s, self._leave)

    def _leave(self) -> None:
        self._leaving = None
        # A cancelled call waits no more.
        self._running = [asked for asked in self._waiting if not asked.answer.done()]
        self._waiting = []
        if not self._running:
            return
        self._left_s = self._loop.time()
        self._expected = {asked.asker for asked in self._running}
        self._deadline = self._loop.call_later(self._deadline_s, self._late)
        self._queue.put(self._running)

    def _late(self) -> None:
        """The thread holds a batch for too long: nobody waits for it, nor asks, until it is back."""
        self._behind = True
        late, self._waiting = [*self._running, *self._waiting], []
        for _ in range(self._answer_none(late)):
            self._unscored("behind")

    def _back(self, batch: list[Asked], scored: Sequence[Scored] | Exception) -> None:
        """The thread is done with a batch."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._running = []
        if isinstance(scored, Exception):
            for _ in range(self._answer_none(batch)):
                self._unscored("failed", error=repr(scored))
        else:
            self._counts.vad_batch(len(batch))
            for asked, answer in zip(batch, scored, strict=True):
                if not asked.answer.done():
                    asked.answer.set_result(answer)
        self._behind = False
        if self._waiting:
            self._leave_soon()

    @staticmethod
    def _answer_none(batch: list[Asked]) -> int:
        waiting = [asked for asked in batch if not asked.answer.done()]
        for asked in waiting:
            asked.answer.set_result(None)
        return len(waiting)

    def _unscored(self, reason: str, **fields: str) -> None:
        self._counts.vad_unscored(reason)
        if self._loop.time() - self._logged_s >= LOG_EVERY_S:
            self._logged_s = self._loop.time()
            log.warning("vad_gate_decides_alone", reason=reason, **fields)

    # ---- on the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            result: Sequence[Scored] | Exception
            try:
                result = self._score(batch)
            except Exception as error:  # noqa: BLE001 - whatever fails, the gate decides
                result = error
            try:
                self._loop.call_soon_threadsafe(self._back, batch, result)
            except RuntimeError:
                return  # the loop is closed: nobody waits

    def _score(self, batch: list[Asked]) -> list[Scored]:
        rates = {asked.rate_hz for asked in batch}
        if len(rates) == 1:
            return self._scored(batch)
        answers: dict[int, Scored] = {}
        for rate_hz in rates:
            places = [place for place, asked in enumerate(batch) if asked.rate_hz == rate_hz]
            answers.update(zip(places, self._scored([batch[place] for place in places]), strict=True))
        return [answers[place] for place in range(len(batch))]

    def _scored(self, batch: list[Asked]) -> list[Scored]:
        """All of one rate."""
        pcm = np.frombuffer(b"".join([asked.pcm for asked in batch]), "<i2").reshape(len(batch), -1)
        gains = np.array([[asked.gain] for asked in batch], np.float32) / FULL_SCALE
        windows = pcm * gains
        np.clip(windows, -1, 1, out=windows)
        states = np.stack([asked.state for asked in batch], axis=1)
        scores, after = self._model.run(windows, states, batch[0].rate_hz)
        return [Scored(score, after[:, place]) for place, score in enumerate(scores.tolist())]


@asynccontextmanager
async def scoring(model: Model, counts: ScorerCounts, *, deadline_ms: float = DEADLINE_MS) -> AsyncIterator[VadScorer]:
    """A scorer whose thread lives as long as the context."""
    scorer = VadScorer(model, counts, deadline_ms=deadline_ms)
    scorer.start()
    try:
        yield scorer
    finally:
        await scorer.stop()

"""A call's recognitions: one stream an utterance, opened, asked and closed as the machine says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

from servicekit.logs import bound, get_logger
from voice_gateway.application.answers import Spawn
from voice_gateway.application.config import AsrConfig
from voice_gateway.application.hearing import Hearing
from voice_gateway.application.ports import Asr, AsrRequest, EndOfTurnModel, EndOfTurnUnknown
from voice_gateway.application.recognition import UtteranceRecognition
from voice_gateway.application.services import CallServices
from voice_gateway.application.tracing import CallSpans
from voice_gateway.application.understanding import Understanding
from voice_gateway.domain.actions import CloseAsr, FinalizeAsr, FlushAsr, OpenAsr, ScoreTurn
from voice_gateway.domain.errors import BackendError
from voice_gateway.domain.events import Event, TurnScored

log = get_logger(__name__)

CLOSING_TIMEOUT_S = 1.0
"""Longest that a recognition nobody waits for may take to end by itself."""

SCORED_MS = 8_000
"""Audio that an end-of-turn model looks at: Smart Turn's window."""

SCORED_HZ = 16_000

RecognitionAction = OpenAsr | FlushAsr | FinalizeAsr | CloseAsr | ScoreTurn


class Recognitions:
    """Performs what the machine decides about recognition. Nothing here waits."""

    def __init__(
        self,
        asr: Asr,
        hearing: Hearing,
        services: CallServices,
        *,
        spans: CallSpans,
        understanding: Understanding,
        post: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._asr = asr
        self._hearing = hearing
        self._spans = spans
        self._turn_model = services.turn_model
        self._tools = services.tools
        self._telemetry = services.telemetry
        self.understanding = understanding
        self._post = post

    def perform(self, action: RecognitionAction, config: AsrConfig, spawn: Spawn, *, turn: int) -> None:
        """Do it. `config` is what a new stream is opened with; `turn` is the turn that the caller is making."""
        match action:
            case OpenAsr():
                with bound(turn=turn, utterance=action.utterance):
                    self._open(action, config, spawn)
            case ScoreTurn():
                if self._turn_model is not None:
                    spawn(self._score(self._turn_model, action, config.sample_rate_hz), f"turn-score-{action.pause}")
            case FlushAsr() | FinalizeAsr() | CloseAsr():
                self._tell(action)
            case _:
                assert_never(action)

    def _open(self, action: OpenAsr, config: AsrConfig, spawn: Spawn) -> None:
        hearing = self._hearing
        preroll = config.preroll_ms * config.sample_rate_hz // 1000
        start = max(hearing.log.start, hearing.spoken_through, action.from_sample - preroll)
        for earlier in hearing.recognitions.values():
            earlier.stop_at(start)
        recognition = UtteranceRecognition(
            action.utterance,
            start,
            log=hearing.log,
            asr=self._asr,
            config=config,
            request=AsrRequest(
                config.sample_rate_hz,
                config.language_code,
                config.model,
                self._spans.call_id,
                config.open_timeout_ms,
                span=self._spans.recognition(action.utterance, language=config.language_code, model=config.model),
            ),
            post=self._tell_machine,
            on_error=self._count_error,
        )
        hearing.recognitions[action.utterance] = recognition
        hearing.began[action.utterance] = start
        recognition.audio_arrived()
        task = spawn(recognition.run(), f"asr-{action.utterance}")
        recognition.task = task
        task.add_done_callback(lambda _: hearing.recognitions.pop(action.utterance, None))

    async def _tell_machine(self, event: Event) -> None:
        await self._post(self.understanding.read(event))

    def _tell(self, action: FlushAsr | FinalizeAsr | CloseAsr) -> None:
        recognition = self._hearing.recognitions.get(action.utterance)
        if recognition is None:
            return
        match action:
            case FlushAsr():
                recognition.flush()
            case FinalizeAsr():
                recognition.finalize(half_close=action.half_close)
            case CloseAsr():
                recognition.close()
                if recognition.task is not None:
                    asyncio.get_running_loop().call_later(CLOSING_TIMEOUT_S, recognition.task.cancel)
            case _:
                assert_never(action)

    async def _score(self, model: EndOfTurnModel, action: ScoreTurn, rate_hz: int) -> None:
        """Where the model can't tell in time, the rules decide without it."""
        audio = self._hearing.log
        pcm = audio.read(max(audio.start, audio.end - SCORED_MS * rate_hz // 1000), audio.end)
        if (resampler := self._tools.resampler(rate_hz, SCORED_HZ)) is not None:
            pcm = resampler.process(pcm) + resampler.flush()
        try:
            complete = await model.score(pcm)
        except EndOfTurnUnknown:
            return
        await self._post(TurnScored(action.utterance, action.pause, complete))

    def _count_error(self, error: BackendError) -> None:
        self._telemetry.backend_error(error.kind, error.reason)
        log.warning("backend_failed", kind=error.kind, reason=error.reason, detail=error.detail)

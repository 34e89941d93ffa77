"""nvidia.riva.asr.RivaSpeechRecognition over one engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc

from speech_worker.adapters import riva_wire
from speech_worker.application.intake import AudioIntake
from speech_worker.application.ports import RECOGNITION_RATE_HZ, AsrEngine, Metrics, VoiceActivity
from speech_worker.application.recognize import FRAME_SAMPLES, Recognition
from speech_worker.domain.catalogue import choose_model, model_name
from speech_worker.domain.endpointing import Endpointer, EndpointingRule
from speech_worker.domain.errors import InvalidRequest, StreamIdle, WorkerFull
from speech_worker.domain.recognition import ResultOptions, ResultWriter

SERVICE: Final = riva_asr_pb2.DESCRIPTOR.services_by_name["RivaSpeechRecognition"].full_name

CONFIG_FIRST: Final = "first message must contain streaming_config"
_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class AsrServiceOptions:
    """`idle_s`: a stream that sends nothing for so long gives its slot back."""

    endpointing: EndpointingRule
    longest_utterance_ms: int
    idle_s: float
    blocked_words: frozenset[str]


class RivaRecognition(riva_asr_pb2_grpc.RivaSpeechRecognitionServicer):  # type: ignore[misc] # generated without types
    def __init__(
        self, engine: AsrEngine, activity: Callable[[], VoiceActivity], options: AsrServiceOptions, metrics: Metrics
    ) -> None:
        self._engine = engine
        self._activity = activity
        self._options = options
        self._metrics = metrics

    async def StreamingRecognize(  # noqa: N802 - names of the contract
        self, request_iterator: AsyncIterator[Any], _context: _Context
    ) -> AsyncIterator[Any]:
        """Config, then audio. One response per audio message; one more at the end where something became final."""
        first = await self._next(request_iterator)
        if first is None or first.WhichOneof("streaming_request") != "streaming_config":
            raise InvalidRequest(CONFIG_FIRST)
        request_id = first.id.value
        streaming = first.streaming_config
        async with self._recognition(
            streaming.config, kind="online", interim_results=streaming.interim_results
        ) as recognition:
            while (request := await self._next(request_iterator)) is not None:
                kind = request.WhichOneof("streaming_request")
                if kind == "streaming_config":
                    raise InvalidRequest("streaming_config is allowed in the first message only")
                ends = riva_wire.wants_end_of_utterance(request)
                if kind is None and not ends:
                    continue
                results = await recognition.audio(request.audio_content) if request.audio_content else []
                if ends:
                    results += await recognition.end_utterance()
                yield riva_wire.streaming_response(results, request.id.value or request_id)
            results = await recognition.finish()
            if results:
                yield riva_wire.streaming_response(results, request_id)

    async def Recognize(self, request: Any, _context: _Context) -> Any:  # noqa: N802
        """The whole audio in one message; one result per utterance."""
        async with self._recognition(request.config, kind="offline", interim_results=False) as recognition:
            results = await recognition.audio(request.audio)
            results += await recognition.finish()
            return riva_wire.offline_response(results, request.id.value)

    async def GetRivaSpeechRecognitionConfig(self, request: Any, _context: _Context) -> Any:  # noqa: N802
        """An unknown model name gets an empty list, as from Riva."""
        capabilities = self._engine.capabilities
        response = riva_asr_pb2.RivaSpeechRecognitionConfigResponse()
        for kind in ("online", "offline"):
            for name in self._models(kind):
                if request.model_name in ("", name):
                    parameters = {
                        "type": kind,
                        "language_code": ",".join(capabilities.languages),
                        "sample_rate_hertz": str(RECOGNITION_RATE_HZ),
                        "streaming": str(kind == "online"),
                        "max_alternatives": "1",
                        "label": capabilities.label,
                    }
                    response.model_config.add(model_name=name, parameters=parameters)
        return response

    def _models(self, kind: str) -> tuple[str, ...]:
        """Riva's way of naming: engine, language, use."""
        capabilities = self._engine.capabilities
        use = "asr-streaming" if kind == "online" else "asr-offline"
        return (f"{model_name(capabilities.name, capabilities.languages[0])}-{use}",)

    async def _next(self, requests: AsyncIterator[Any]) -> Any | None:
        try:
            async with asyncio.timeout(self._options.idle_s):
                return await anext(requests, None)
        except TimeoutError:
            raise StreamIdle(
                f"No message came for {self._options.idle_s:g} s: send silence or close the stream."
            ) from None

    @asynccontextmanager
    async def _recognition(self, config: Any, *, kind: str, interim_results: bool) -> AsyncIterator[Recognition]:
        """Check the config, take a slot, give it back."""
        audio = riva_wire.audio_format(config)
        choose_model(
            (*self._models("online"), *self._models("offline")), self._engine.capabilities.languages,
            model=config.model, language_code=config.language_code, sample_rate_hz=audio.sample_rate_hz, kind=kind,
        )  # fmt: skip
        rule = riva_wire.endpointing_rule(config, self._options.endpointing)
        try:
            stream = await self._engine.open(language_code=config.language_code)
        except WorkerFull as error:
            self._metrics.refused(service="asr", reason=error.reason)
            raise
        self._metrics.asr_stream(opened=True)
        try:
            yield Recognition(
                stream=stream,
                activity=self._activity(),
                endpointer=Endpointer(
                    rule, frame_samples=FRAME_SAMPLES, sample_rate_hz=RECOGNITION_RATE_HZ,
                    longest_utterance_ms=self._options.longest_utterance_ms,
                ),
                intake=AudioIntake(audio),
                writer=ResultWriter(
                    ResultOptions(
                        interim_results, config.enable_word_time_offsets, config.profanity_filter,
                        self._options.blocked_words,
                    )
                ),
                metrics=self._metrics,
            )  # fmt: skip
        finally:
            self._metrics.asr_stream(opened=False)
            await stream.close()

"""nvidia.riva.tts.RivaSpeechSynthesis over one engine."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import grpc
from riva.client.proto import riva_tts_pb2, riva_tts_pb2_grpc

from speech_worker.adapters import riva_wire
from speech_worker.application.ports import Metrics, TtsEngine
from speech_worker.application.synthesize import Spoken, Synthesis
from speech_worker.domain.catalogue import Voice, choose_voice, model_name, same_language
from speech_worker.domain.errors import UnknownModel, WorkerFull
from speech_worker.domain.speakable import speakable

SERVICE: Final = riva_tts_pb2.DESCRIPTOR.services_by_name["RivaSpeechSynthesis"].full_name

_RETRY_AFTER_MS: Final = 500
_Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class TtsServiceOptions:
    """`default_voice` answers requests that name none; empty means the engine's own."""

    default_voice: str
    max_streams: int
    longest_text: int


class RivaSynthesis(riva_tts_pb2_grpc.RivaSpeechSynthesisServicer):  # type: ignore[misc] # generated without types
    def __init__(self, engine: TtsEngine, synthesis: Synthesis, options: TtsServiceOptions, metrics: Metrics) -> None:
        self._engine = engine
        self._synthesis = synthesis
        self._options = options
        self._metrics = metrics
        self._active = 0

    async def Synthesize(self, request: Any, _context: _Context) -> Any:  # noqa: N802 - names of the contract
        """All audio in one message."""
        text, voice, rate_hz = self._checked(request)
        parts: list[Spoken] = []
        async with _Slot(self), aclosing(self._synthesis.speak(text, voice, sample_rate_hz=rate_hz)) as chunks:
            async for chunk in chunks:
                parts.append(chunk)
        whole = Spoken(b"".join(part.pcm for part in parts), tuple(word for part in parts for word in part.words))
        return self._response(request, whole, text)

    async def SynthesizeOnline(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], _context: _Context
    ) -> AsyncIterator[Any]:
        """One text per message, spoken in order; several responses per text. A cancelled call stops the engine."""
        async with _Slot(self):
            async for request in request_iterator:
                text, voice, rate_hz = self._checked(request)
                async with aclosing(self._synthesis.speak(text, voice, sample_rate_hz=rate_hz)) as chunks:
                    async for chunk in chunks:
                        yield self._response(request, chunk, text)

    async def GetRivaSynthesisConfig(self, request: Any, _context: _Context) -> Any:  # noqa: N802
        """One entry per language. A voice's full name is the entry's voice_name, a dot and a subvoice."""
        capabilities = self._engine.capabilities
        response = riva_tts_pb2.RivaSynthesisConfigResponse()
        by_language: dict[str, list[Voice]] = {}
        for voice in capabilities.voices:
            by_language.setdefault(voice.language_code, []).append(voice)
        for language_code, voices in by_language.items():
            name = model_name(capabilities.name, language_code)
            if request.model_name not in ("", name):
                continue
            parameters = {
                "language_code": language_code,
                "voice_name": name,
                "subvoices": ",".join(f"{voice.subvoice}:{number}" for number, voice in enumerate(voices)),
                "sample_rate_hz": str(capabilities.sample_rate_hz),
                "label": capabilities.label,
            }
            response.model_config.add(model_name=name, parameters=parameters)
        if request.model_name and not response.model_config:
            raise UnknownModel(f"No synthesis model is named {request.model_name[:100]!r}.")
        return response

    def _checked(self, request: Any) -> tuple[str, Voice, int]:
        capabilities = self._engine.capabilities
        rate_hz = riva_wire.synthesis_rate(request, capabilities.sample_rate_hz)
        voice = choose_voice(
            capabilities.name,
            capabilities.voices,
            default=capabilities.default_voice,
            name=request.voice_name or self._default_for(request.language_code),
            language_code=request.language_code,
            sample_rate_hz=rate_hz,
        )
        return speakable(request.text, longest=self._options.longest_text), voice, rate_hz

    def _default_for(self, language_code: str) -> str:
        """The configured voice speaks only its own language; another language gets the engine's choice."""
        wanted = self._options.default_voice
        capabilities = self._engine.capabilities
        if not wanted:
            return ""
        voice = choose_voice(
            capabilities.name, capabilities.voices, default=capabilities.default_voice, name=wanted, language_code="",
            sample_rate_hz=capabilities.sample_rate_hz,
        )  # fmt: skip
        return wanted if same_language(language_code, voice.language_code) else ""

    def _response(self, request: Any, spoken: Spoken, text: str) -> Any:
        return riva_wire.synthesis_response(
            spoken, text=request.text, processed_text=text, request_id=request.id.value,
            word_times=request.enable_word_time_offsets,
        )  # fmt: skip

    def enter(self) -> None:
        """Raises WorkerFull at once."""
        if self._active >= self._options.max_streams:
            self._metrics.refused(service="tts", reason=WorkerFull.reason)
            raise WorkerFull(
                f"All {self._options.max_streams} synthesis streams of this worker are in use.",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._active += 1
        self._metrics.tts_stream(opened=True)

    def leave(self) -> None:
        self._active -= 1
        self._metrics.tts_stream(opened=False)


class _Slot:
    """One running call among those that are allowed."""

    def __init__(self, service: RivaSynthesis) -> None:
        self._service = service

    async def __aenter__(self) -> None:
        self._service.enter()

    async def __aexit__(self, *_: object) -> None:
        self._service.leave()

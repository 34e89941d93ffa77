"""The gateway's own edge with almost nothing behind it: the measure of what the rest costs.

One recognition stream a call, gets all audio in messages of 100 ms; each final transcript goes to the language model,
each phrase to the synthesiser, each chunk to the caller as it comes. No voice activity, no turn machine, no
interruption, no pacing.
"""

import asyncio

from voice_gateway.application.config import CallConfig, ConfigSource
from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioIn,
    AudioOut,
    EventKind,
    EventOut,
    Hello,
    Outbound,
    TranscriptOut,
)
from voice_gateway.application.outputs import session
from voice_gateway.application.overrides import admit
from voice_gateway.application.ports import (
    AsrRequest,
    AsrStream,
    Backends,
    BackendSelection,
    BackendWish,
    CallTransport,
    LlmRequest,
    TtsRequest,
)
from voice_gateway.application.tracing import NO_TRACE, CallTrace
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.phrases import PhraseCutter


class PassThroughRunner:
    """Runs calls, in place of voice_gateway.application.runner.CallRunner."""

    def __init__(self, config: ConfigSource, selection: BackendSelection) -> None:
        self._config = config
        self._selection = selection
        self.running = 0

    async def run(
        self,
        hello: Hello,
        transport: CallTransport,
        *,
        call_id: str,
        trace: CallTrace = NO_TRACE,  # noqa: ARG002 - as the gateway's edge calls it
        principal: str = "",  # noqa: ARG002
    ) -> None:
        """Hold one call."""
        config = self._config.current()
        admitted = admit(hello, config)
        backends = self._selection.select(BackendWish(admitted.language_code))
        await transport.send(session(call_id, admitted, config))
        request = AsrRequest(config.asr.sample_rate_hz, config.asr.language_code, call_id=call_id)
        call = _PassThroughCall(call_id, config, backends, transport)
        self.running += 1
        try:
            async with backends.asr.open(request) as stream, asyncio.TaskGroup() as tasks:
                tasks.create_task(call.hear(stream))
                await call.answer(stream)
        finally:
            self.running -= 1

    async def supersede(self, hello: Hello, *, principal: str) -> bool:  # noqa: ARG002
        """No call comes back."""
        return False

    async def drain(self, *, deadline_ms: int, resumable_ms: int) -> None:
        """Calls end by themselves."""


class _PassThroughCall:
    def __init__(self, call_id: str, config: CallConfig, backends: Backends, transport: CallTransport) -> None:
        self._call_id = call_id
        self._config = config
        self._backends = backends
        self._transport = transport
        self._turn = 0
        self._writing = asyncio.Lock()  # gRPC takes one write at a time

    async def _send(self, message: Outbound) -> None:
        async with self._writing:
            await self._transport.send(message)

    async def hear(self, stream: AsrStream) -> None:
        """Microphone to recogniser."""
        pending = bytearray()
        message_bytes = 2 * self._config.asr.message_ms * self._config.asr.sample_rate_hz // 1000
        while (message := await self._transport.receive()) is not None:
            if isinstance(message, AudioIn):
                pending += message.pcm
                if len(pending) >= message_bytes:
                    await stream.send(bytes(pending))
                    pending.clear()
        await stream.half_close()

    async def answer(self, stream: AsrStream) -> None:
        """Recogniser to language model to synthesiser to caller."""
        async for result in stream.results():
            if not result.text:
                continue
            await self._send(TranscriptOut(self._turn + 1, result.text, result.is_final))
            if result.is_final:
                self._turn += 1
                await self._reply(result.text)

    async def _reply(self, text: str) -> None:
        llm = self._config.llm
        request = LlmRequest(
            llm.model,
            (Message(Role.USER, text),),
            llm.temperature,
            llm.max_tokens,
            llm.first_token_timeout_ms,
            llm.token_timeout_ms,
            self._call_id,
        )
        phrases: asyncio.Queue[str | None] = asyncio.Queue(64)
        cutter = PhraseCutter(self._config.phrases)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(phrases))
            async with self._backends.llm.stream(request) as deltas:
                async for delta in deltas:
                    await self._send(AnswerTextOut(self._turn, delta.text))
                    for phrase in cutter.push(delta.text):
                        await phrases.put(phrase)
            for phrase in cutter.flush():
                await phrases.put(phrase)
            await phrases.put(None)
        await self._send(EventOut(self._turn, EventKind.END_OF_TURN))

    async def _speak(self, phrases: asyncio.Queue[str | None]) -> None:
        tts = self._config.tts
        sent = 0
        while (phrase := await phrases.get()) is not None:
            request = TtsRequest(phrase, tts.language_code, tts.voice, tts.sample_rate_hz, call_id=self._call_id)
            async with self._backends.tts.synthesize(request) as chunks:
                async for chunk in chunks:
                    await self._send(AudioOut(self._turn, self._turn, sent, chunk.pcm))
                    sent += len(chunk.pcm) // 2

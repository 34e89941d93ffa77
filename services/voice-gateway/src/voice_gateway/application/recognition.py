"""Recognition of one utterance: its own stream, batched audio, replay after a broken stream."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from voice_gateway.application.audio_log import AudioLog
from voice_gateway.application.config import AsrConfig
from voice_gateway.application.ports import Asr, AsrRequest, AsrStream, Recognition
from voice_gateway.domain.errors import BackendError
from voice_gateway.domain.events import AsrEnded, AsrResult, Event

FIRST_PASS_STABILITY = 1.0
"""Riva marks the first-pass end of utterance with this stability on an interim result."""


STEADY_MS = 80
"""Audio of one message in the middle of a sound: a recogniser decodes no smaller pieces, and answers each message."""

LARGEST_MS = 100
"""Audio of one message where more waits, as the beginning of each utterance does."""

FIRST_PAUSE_S = 0.2
"""Before the second new stream; doubles. The first is opened at once: mostly one connection broke, or there is another
recogniser."""


class UtteranceRecognition:
    """One utterance. `run` is its task; the other methods are called from outside and never wait.

    Audio comes from the call's log, in messages of `AsrConfig.message_ms` or, while no end of speech is in sight, of
    `STEADY_MS`, with what is left sent on `flush`. What has queued goes in messages of up to `LARGEST_MS`. When the
    server breaks or ends the stream early, a new one gets all audio since the last final result.
    """

    def __init__(
        self,
        number: int,
        start_sample: int,
        *,
        log: AudioLog,
        asr: Asr,
        config: AsrConfig,
        request: AsrRequest,
        post: Callable[[Event], Awaitable[None]],
        on_error: Callable[[BackendError], None],
    ) -> None:
        self.number = number
        self.task: asyncio.Task[None] | None = None
        """The task that `run` runs in, for its owner."""
        self.unfinalized_sample = start_sample
        """Audio before it is finalised and need not be kept."""
        self._sent_sample = start_sample
        self._opened_at_sample = start_sample
        self._log = log
        self._asr = asr
        self._config = config
        self._request = request
        self._post = post
        self._on_error = on_error
        self._wake = asyncio.Event()
        self._wishes: set[str] = set()
        """"flush", "force_eou", "half_close", "closed"; all but the first stay."""
        self._until_sample: int | None = None
        self._last_interim: str | None = None

    @property
    def _message_samples(self) -> int:
        return self._samples(self._config.message_ms)

    # ---- from outside -----------------------------------------------------------------------------------------------

    def audio_arrived(self, *, steady: bool = False) -> None:
        """The log has more audio; `steady`, where it is in the middle of a sound."""
        least = max(self._message_samples, self._samples(STEADY_MS)) if steady else self._message_samples
        if self._end() - self._sent_sample >= least:
            self._wake.set()

    def stop_at(self, sample: int) -> None:
        """Audio from here on belongs to another utterance."""
        self._until_sample = sample if self._until_sample is None else min(sample, self._until_sample)

    def flush(self) -> None:
        """Send what waits, however little."""
        self._wishes.add("flush")
        self._wake.set()
        # The next interim result is told even if it says the same: that it speaks of all the audio is news.
        self._last_interim = None

    def finalize(self, *, half_close: bool) -> None:
        """The caller is done: ask for the final result."""
        self._request.span.mark("asked_for_final_ms")
        self._wishes.add("half_close" if half_close else "force_eou")
        self.flush()

    def close(self) -> None:
        """Nothing more is wanted: end the stream politely, and tell nobody. The owner cancels `run` after a while."""
        self._wishes |= {"half_close", "closed"}
        self._wake.set()

    # ---- the task ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Recognise until the server has said all, or it can't be helped."""
        with self._request.span:
            await self._recognise()

    async def _recognise(self) -> None:
        failure: BackendError | None = None
        for attempt in range(self._config.reconnects + 1):
            try:
                async with self._asr.open(self._request) as stream:
                    await self._converse(stream)
                failure = None
            except BackendError as error:
                self._on_error(error)
                failure = error
            if "closed" in self._wishes:
                return
            if failure is None and "half_close" in self._wishes:
                break
            if failure is not None and (not failure.retryable or attempt == self._config.reconnects):
                break
            if failure is not None:
                self._request = replace(self._request, avoid=self._request.avoid | {failure.position})
                if attempt:
                    await asyncio.sleep(FIRST_PAUSE_S * (1 << (attempt - 1)))
            self._sent_sample = self._opened_at_sample = self.unfinalized_sample
            self._wake.set()
        if failure is None:
            await self._post(AsrEnded(self.number))
        else:
            self._request.span.fail(failure.reason)
            await self._post(AsrEnded(self.number, failure.reason, str(failure), failure.retryable))

    async def _converse(self, stream: AsrStream) -> None:
        sending = asyncio.create_task(self._send(stream), name=f"asr-send-{self.number}")
        receiving = asyncio.create_task(self._receive(stream), name=f"asr-receive-{self.number}")
        try:
            done, _ = await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
            if receiving not in done:
                # All is sent, or sending failed: that is the failure to tell.
                sending.result()
            await receiving
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _send(self, stream: AsrStream) -> None:
        asked_force_eou = False
        largest = max(self._message_samples, self._samples(LARGEST_MS))
        while True:
            await self._wake.wait()
            self._wake.clear()
            least = 1 if self._wishes else self._message_samples
            self._wishes.discard("flush")
            while "closed" not in self._wishes and (waiting := self._end() - self._sent_sample) >= least:
                until = self._sent_sample + min(waiting, largest)
                await stream.send(self._log.read(self._sent_sample, until))
                self._sent_sample = until
            if "half_close" in self._wishes:
                await stream.half_close()
                return
            if "force_eou" in self._wishes and not asked_force_eou:
                asked_force_eou = True
                await stream.force_end_of_utterance()

    async def _receive(self, stream: AsrStream) -> None:
        async for result in stream.results():
            first_pass_end = not result.is_final and result.stability >= FIRST_PASS_STABILITY
            if "closed" in self._wishes or self._is_repeated(result, first_pass_end):
                continue
            words = len(result.text.split())
            self._note(result, words)
            through_sample = 0
            if result.audio_processed_ms > 0:
                through_sample = self._finalized_by(result)
            await self._post(
                AsrResult(self.number, result.text, words, result.is_final, first_pass_end, through_sample)
            )
            if result.is_final:
                self.unfinalized_sample = self._finalized_by(result)

    def _note(self, result: Recognition, words: int) -> None:
        span = self._request.span
        span.mark("first_result_ms")
        if result.is_final:
            span.mark("final_ms")
            span.count(words=words)
            span.say("user", result.text)

    def _is_repeated(self, result: Recognition, first_pass_end: bool) -> bool:
        """Whether an interim result says what the one before it said. The machine itself looks at no text."""
        repeated = not result.is_final and not first_pass_end and result.text == self._last_interim
        self._last_interim = None if result.is_final else result.text
        return repeated

    def _samples(self, milliseconds: int) -> int:
        return milliseconds * self._config.sample_rate_hz // 1000

    def _end(self) -> int:
        """One past the last sample of this utterance that is there."""
        return self._log.end if self._until_sample is None else min(self._log.end, self._until_sample)

    def _finalized_by(self, result: Recognition) -> int:
        """Where the audio that `result` finalises ends; what the server does not say is taken as all that was sent."""
        if result.audio_processed_ms <= 0:
            return self._sent_sample
        processed = int(result.audio_processed_ms * self._config.sample_rate_hz / 1000)
        return max(self.unfinalized_sample, min(self._sent_sample, self._opened_at_sample + processed))

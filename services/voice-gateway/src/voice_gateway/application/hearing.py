"""The caller's audio: resampled, judged for voice, kept for recognition. Audio time is counted in samples here."""

import asyncio
from collections.abc import Awaitable, Callable

from voice_gateway.application.audio_log import AudioLog
from voice_gateway.application.config import AsrConfig
from voice_gateway.application.echo_watch import EchoWatch, Loudspeaker
from voice_gateway.application.intake import Intake
from voice_gateway.application.ports import AudioTools
from voice_gateway.application.recognition import UtteranceRecognition
from voice_gateway.application.resumption import Resumption
from voice_gateway.domain.events import Event, Speech, SpeechEdge
from voice_gateway.domain.policy import TurnPolicy
from voice_gateway.domain.speech import Edge, SpeechSegmenter

FORGET_MS = 500
"""What is forgotten at once, at the least."""


class Hearing:
    """One caller's uplink.

    `announce` takes an event and returns when the machine has acted on it: so a stream that the machine opens at an
    edge is open before later audio is looked at, however fast audio comes.
    """

    def __init__(
        self,
        *,
        client_rate_hz: int,
        config: AsrConfig,
        policy: TurnPolicy,
        tools: AudioTools,
        announce: Callable[[Event], Awaitable[None]],
        run_ahead_ms: int,
        may_go_on: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
        loudspeaker: Loudspeaker,
        resumption: Resumption | None = None,
    ) -> None:
        self.log = AudioLog()
        self.recognitions: dict[int, UtteranceRecognition] = {}
        self.began: dict[int, int] = {}
        """First sample of each utterance that may not be part of a turn yet."""
        self._config = config
        self._voice = tools.voice_activity(config.sample_rate_hz)
        self.intake = Intake(
            client_rate_hz=client_rate_hz,
            rate_hz=config.sample_rate_hz,
            frame_samples=self._voice.frame_samples,
            resampler=tools.resampler(client_rate_hz, config.sample_rate_hz),
            run_ahead_ms=run_ahead_ms,
            resumption=resumption,
        )
        self._segmenter = SpeechSegmenter(config.sample_rate_hz, policy)
        self._announce = announce
        self._may_go_on = may_go_on
        self._now_ms = now_ms
        self._loudspeaker = loudspeaker
        self._echo = EchoWatch(loudspeaker, self.log, likeness=tools.likeness, sample_rate_hz=config.sample_rate_hz)
        self.spoken_through = 0
        """One past the last sample of speech that an utterance before the next one has."""
        self._voiced_at_ms = 0
        self._taking = asyncio.Lock()

    @property
    def speaking(self) -> bool:
        """Whether the caller is in the middle of speech."""
        return self._segmenter.active

    def retune(self, policy: TurnPolicy) -> None:
        """Use other numbers from now on."""
        self._segmenter.policy = policy

    def reset(self) -> None:
        """Forget the speech under way."""
        self._segmenter.reset()
        self.spoken_through = self._segmenter.voiced_end

    def await_silence(self, milliseconds: int) -> None:
        """The speech under way ends after this much silence, until the caller speaks again."""
        self._segmenter.silence_ms = milliseconds

    def late(self, milliseconds: int) -> int:
        """Samples before the last one that an utterance may begin with that begins so late."""
        return (self._config.preroll_ms + milliseconds) * self._config.sample_rate_hz // 1000

    async def audio(self, pcm: bytes, first_sample: int = 0) -> None:
        """Take the next audio from the client, in pieces of any size; `first_sample` as in `AudioIn`."""
        arrived_ms = self._now_ms()
        if self.intake.runs_ahead(arrived_ms):
            await self._may_go_on()
        async with self._taking:
            frames = self.intake.take(pcm, first_sample)
            self.intake.note_arrival(arrived_ms)
            await self._judge(frames, may_wait=True)

    async def silence(self, milliseconds: int) -> None:
        """The client sends nothing: let time pass as silence, so that speech ends and the recogniser gets its pause."""
        if self._taking.locked():
            return
        async with self._taking:
            # Whoever lets time pass watches over the call, and must not wait for an answer to end.
            await self._judge(self.intake.silence(milliseconds), may_wait=False)

    async def close(self) -> None:
        """The audio ends here."""
        async with self._taking:
            frames, rest = self.intake.finish()
            await self._judge(frames, may_wait=True)
            self.log.append(rest)
        for recognition in self.recognitions.values():
            recognition.audio_arrived()
        self.reset()

    async def _judge(self, frames: list[bytes], *, may_wait: bool) -> None:
        """The log never runs ahead of the detector: what it holds when an utterance ends belongs to that utterance, and
        not to the next one in the same message. So a frame is logged when it is judged, which may take a moment in
        which the machine goes on, and is segmented before anything else runs.
        """
        is_speech = True
        for frame in frames:
            arrived_ms = self._now_ms()
            is_speech = await self._voice.is_speech(frame)
            self.log.append(frame)
            if is_speech:
                self._voiced_at_ms = arrived_ms
            edge = self._segmenter.process(self._voice.frame_samples, is_speech, self._voice.late_samples)
            if edge is None and self._too_long(self._segmenter.position):
                edge = self._segmenter.end()
            if edge is not None:
                await self._tell(edge, may_wait=may_wait)
            elif is_speech and (began := self._echo.caller_began(self._segmenter.voiced_end, self._echo_sound)):
                await self._tell_caller(began)
        for recognition in self.recognitions.values():
            if is_speech:
                recognition.audio_arrived(steady=self._voice.steady)
            else:
                # Perhaps the end: what was said must not wait for a full message, nor the silence that ends it.
                recognition.flush()
        self._forget()

    async def _tell(self, edge: Edge, *, may_wait: bool) -> None:
        at_ms = self._voiced_at_ms
        if edge.kind is SpeechEdge.STARTED:
            ago_ms = (self._segmenter.position - edge.sample) * 1000 // self._config.sample_rate_hz
            at_ms = max(0, self._now_ms() - ago_ms)
        ended = edge.kind in (SpeechEdge.ENDED, SpeechEdge.MISFIRE)
        if ended:
            self.spoken_through = edge.sample
        echo = 0.0
        if edge.kind in (SpeechEdge.STARTED, SpeechEdge.CONFIRMED):
            echo = self._echo.speech(self._segmenter.voiced_end, self._echo_sound)
        await self._announce(Speech(edge.kind, edge.sample, at_ms, self._loudspeaker.heard_samples(), echo))
        if ended and may_wait:
            await self._may_go_on()

    async def _tell_caller(self, began: int) -> None:
        """What was an echo so far is the caller's speech from the sample `began` on."""
        self.spoken_through = began
        await self._tell(Edge(SpeechEdge.STARTED, began), may_wait=True)
        await self._tell(Edge(SpeechEdge.CONFIRMED, began), may_wait=True)

    @property
    def _echo_sound(self) -> float:
        return self._segmenter.policy.interruption.echo_sound

    def echo(self) -> float:
        """How much the last sound that was taken for speech is like what is being played, 0 to 1."""
        return self._echo.likeness(self._segmenter.voiced_end)

    def _too_long(self, position: int) -> bool:
        """Whether an utterance has grown so long that it is finalised, for want of room to replay it."""
        if not self._segmenter.active:
            return False
        limit = self._config.max_utterance_ms * self._config.sample_rate_hz // 1000
        return any(position - recognition.unfinalized_sample > limit for recognition in self.recognitions.values())

    def _forget(self) -> None:
        """Keep what a recognition may still need, else the pre-roll. Looked at where there is more than that: while
        nobody speaks, twice a second instead of at each frame.
        """
        if self.log.end - self.log.start < self.late(1_000 + FORGET_MS):
            return
        needed = [recognition.unfinalized_sample for recognition in self.recognitions.values()]
        self.log.forget(min([self.log.end - self.late(1_000), *needed]))

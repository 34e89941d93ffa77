"""`voice say`: play sound files through the gateway and keep the answer."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from voice_clients.audio_file import Recording, read_recording, speech_end_sample, write_wav
from voice_clients.caller import MODERN, CallConfig
from voice_clients.channel import Security
from voice_clients.conversation import Conversation, Turn
from voice_clients.errors import CallError, GatewayFailedError, VoiceError, first_error
from voice_clients.events import CallEvent, Capability, Ended, Lost, Session
from voice_clients.kept import KEEP_S
from voice_clients.listener import SimulatedListener
from voice_clients.pacing import Pacer, fast_chunks, paced
from voice_clients.resuming import ResumeOptions, ResumingCall, connect_resuming
from voice_clients.resumption import Resumption
from voice_clients.view import View

# How long the caller goes on listening in silence when the gateway says nothing at all after a file.
QUIET_S = 8.0
# END_OF_TURN may have come before the end of a file whose last words are still on their way.
SETTLE_S = 1.0
SILENCE_MS = 20


@dataclass(frozen=True, slots=True)
class SayOptions:
    """What `voice say` was asked for."""

    files: tuple[Path, ...]
    out: Path
    targets: tuple[str, ...]
    security: Security
    config: CallConfig
    fast: bool
    as_json: bool
    answer_timeout_s: float
    resume_for_s: float


class _SayCall:
    """One call that plays recordings, one turn after the other."""

    def __init__(self, call: ResumingCall, options: SayOptions, recordings: list[Recording], view: View) -> None:
        self.conversation = Conversation()
        self._call = call
        self._options = options
        self._recordings = recordings
        self._view = view
        self._changed = asyncio.Event()  # something arrived
        rate = options.config.output_sample_rate_hz or recordings[0].sample_rate_hz
        # A file sent fast is not listened to in real time: nothing to acknowledge, and everything received is kept.
        self.listener = SimulatedListener(call, rate, acks=not options.fast)

    @property
    def resumptions(self) -> list[Resumption]:
        """How the call went on after losses."""
        return self._call.resumptions

    async def run(self) -> None:
        """Raises CallError where the call fails."""
        error: CallError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(self._speak(), name="speaking")]
                async for event in self._call:
                    self._take(event)
                    if len(background) == 1 and not self._options.fast:  # the first event says which rate is heard
                        background.append(tasks.create_task(self.listener.run(), name="listener"))
                    if isinstance(event, Ended):
                        event.raise_for_error()
                for task in background:
                    task.cancel()
        except* CallError as group:
            error = first_error(group)  # raised there, Python 3.11.2 puts it into a group again
        if error is not None:
            raise error

    def _take(self, event: CallEvent) -> None:
        if isinstance(event, Session) and event.output_sample_rate_hz:
            self.listener.playback.sample_rate_hz = event.output_sample_rate_hz
        self.conversation.apply(event)
        self.listener.take(event)
        if isinstance(event, Lost):
            played = self.listener.playback.played
            self._call.note_played(played.generation, played.samples)
        self.note_played()
        self._view.show(event, self.conversation)
        self._changed.set()

    def note_played(self) -> None:
        """Tell the conversation what has begun to be heard."""
        for generation, at_ns in self.listener.take_begun():
            self.conversation.played(generation, at_ns)

    async def _speak(self) -> None:
        """Send every recording, half-close, and watch that the answer comes. The reader tells why a call ended."""
        with contextlib.suppress(CallError):
            for number, recording in enumerate(self._recordings, start=1):
                ended_before = self._ended_turns()
                if not self._options.fast:
                    await self._send_paced(recording, ended_before)
                    continue
                for chunk in fast_chunks(recording.pcm):
                    await self._call.send_audio(chunk)
                if number < len(self._recordings):
                    pacer = Pacer(recording.sample_rate_hz)
                    await self._silence_until_answered(pacer, recording.sample_rate_hz, ended_before, ended_before)
            await self._call.half_close()
        while self._call.ended is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(self._options.answer_timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                raise GatewayFailedError(
                    f"The gateway sent nothing for {self._options.answer_timeout_s:g} s; "
                    "`voice check` tells how its backends are.",
                    reason="NO_ANSWER",
                ) from None

    async def _send_paced(self, recording: Recording, ended_before: int) -> None:
        rate = recording.sample_rate_hz
        pacer = Pacer(rate)
        end, sent, marked = speech_end_sample(recording.pcm, rate), 0, False
        async for chunk in paced(recording.pcm, pacer, sample_rate_hz=rate):
            await self._call.send_audio(chunk)
            sent += len(chunk) // 2
            if not marked and sent >= end:
                marked = True
                self.conversation.speech_ended(time.monotonic_ns())
        await self._silence_until_answered(pacer, rate, ended_before, self._ended_turns())

    def _ended_turns(self) -> int:
        return sum(turn.ended for turn in self.conversation.told_turns())

    async def _silence_until_answered(self, pacer: Pacer, rate: int, ended_before: int, ended_while: int) -> None:
        """Send silence as a microphone does, until the turn has ended and is heard, or nothing comes any more.

        `ended_before` and `ended_while`: turns that had ended before the file, and by the end of it.
        """
        silence = bytes(rate * SILENCE_MS // 1000 * 2)
        patience_s = SETTLE_S if ended_while > ended_before else QUIET_S
        loop = asyncio.get_running_loop()
        begun_s = heard_s = loop.time()
        while self._call.ended is None:
            if self._changed.is_set() or not self._call.is_connected:
                self._changed.clear()
                heard_s = loop.time()
            heard_all = self._options.fast or self.listener.playback.buffered_samples == 0
            idle = self.conversation.is_idle and heard_all
            if idle and (self._ended_turns() > ended_while or loop.time() - heard_s > patience_s):
                if not self._options.fast:
                    await self.listener.acknowledge()
                return
            if loop.time() - begun_s > self._options.answer_timeout_s:
                return
            await pacer.recorded(len(silence) // 2)
            await self._call.send_audio(silence)


def read_files(files: tuple[Path, ...], sample_rate_hz: int | None) -> list[Recording]:
    """Read all files at the rate of the first (a call has one rate). Raises BadInputError before anything is sent."""
    recordings: list[Recording] = []
    for path in files:
        recordings.append(read_recording(path, sample_rate_hz=sample_rate_hz))
        sample_rate_hz = recordings[0].sample_rate_hz
    return recordings


async def say(options: SayOptions, recordings: list[Recording], view: View) -> int:
    """Play, show, write the answer. Returns the exit status; raises VoiceError."""
    for recording in recordings:
        changes = f" ({', '.join(recording.changes)})" if recording.changes else ""
        how = "fast" if options.fast else "in real time"
        view.note(
            f"playing {recording.path}: {recording.seconds:.1f} s at {recording.sample_rate_hz} Hz{changes}, {how}"
        )
    error: CallError | None = None
    speaker: _SayCall | None = None
    try:
        resume = ResumeOptions(
            options.resume_for_s,
            keep_s=KEEP_S + sum(recording.seconds for recording in recordings),  # a file need not be forgotten
            live=not options.fast,
        )
        async with connect_resuming(options.targets, options.config, security=options.security, options=resume) as call:
            speaker = _SayCall(call, options, recordings, view)
            await speaker.run()
    except CallError as failure:
        error = failure
    turns = speaker.conversation.told_turns() if speaker is not None else []
    answer = None
    if speaker is not None:
        speaker.note_played()  # before the rest, which is not played in real time
        speaker.listener.play_rest()
        if speaker.listener.heard:
            write_wav(options.out, speaker.listener.heard, speaker.listener.playback.sample_rate_hz)
            answer = options.out
    if error is None:
        error = _what_is_missing(turns)
    _report(options, speaker, answer=answer, error=error, view=view)
    return error.exit_code if error is not None else 0


def _what_is_missing(turns: list[Turn]) -> CallError | None:
    """A call that ended well may still not have done what was asked of it."""
    if not any(turn.transcript for turn in turns):
        return GatewayFailedError("The gateway recognised no speech in what was played.", reason="NO_SPEECH")
    if any(turn.errors for turn in turns):
        said = next(turn.errors[-1] for turn in turns if turn.errors)
        return GatewayFailedError(said, reason="TURN_FAILED")
    if not any(turn.answer_samples for turn in turns):
        return GatewayFailedError("The gateway sent no audio of an answer.", reason="NO_ANSWER")
    return None


def _report(
    options: SayOptions,
    speaker: _SayCall | None,
    *,
    answer: Path | None,
    error: VoiceError | None,
    view: View,
) -> None:
    rate = speaker.listener.playback.sample_rate_hz if speaker is not None else 0
    turns = speaker.conversation.told_turns() if speaker is not None else []
    if not options.as_json:
        if answer is not None and speaker is not None:
            seconds = len(speaker.listener.heard) / 2 / rate
            view.note(f"the answer ({seconds:.1f} s at {rate} Hz) is in {answer}")
        view.close()
        if error is not None:
            raise error
        return
    session = speaker.conversation.session if speaker is not None else None
    document = {
        "ok": error is None,
        "error": str(error) if error is not None else None,
        "reason": error.reason if isinstance(error, CallError) else None,
        "call_id": session.call_id if session is not None else None,
        "answer_wav": str(answer) if answer is not None else None,
        "answer_sample_rate_hz": rate or None,
        "turns": [_turn_document(turn) for turn in turns],
        "resumed": [resume_document(item) for item in (speaker.resumptions if speaker is not None else [])],
    }
    print(json.dumps(document, ensure_ascii=False), flush=True)  # noqa: T201 - this is the output


def resume_document(item: Resumption) -> dict[str, object]:
    """How a call went on, for JSON."""
    return {
        "cause": item.cause.name,
        "gap_ms": round(item.gap_ms, 1),
        "silence_ms": round(item.silence_ms, 1) if item.silence_ms is not None else None,
        "attempts": item.attempts,
        "address": item.address,
        "forgotten_ms": round(item.forgotten_ms, 1),
    }


def _turn_document(turn: Turn) -> dict[str, object]:
    response_ms, played_ms = turn.response_ms(), turn.played_ms()
    return {
        "turn": turn.number,
        "transcript": turn.transcript,
        "answer": turn.answer.strip(),
        "answer_samples": turn.answer_samples,
        "interrupted": turn.interrupted,
        "resumed": turn.resumed,
        "errors": turn.errors,
        "response_from": "end of speech" if turn.speech_end_ns is not None else "final transcript",
        "response_ms": round(response_ms, 1) if response_ms is not None else None,
        "played_ms": round(played_ms, 1) if played_ms is not None else None,
        "endpoint_rule": turn.reported.endpoint_rule if turn.reported is not None else None,
        "stages_reported": turn.reported is not None and bool(turn.reported.stages),
        "stages": [
            {"stage": item.name, "start_ms": round(item.start_ms, 1), "end_ms": round(item.end_ms, 1)}
            for item in turn.stages()
        ],
    }


def capabilities(*, fast: bool, legacy: bool) -> frozenset[Capability]:
    """What `voice say` announces. A file sent fast is not heard in real time, so nothing is acknowledged."""
    if legacy:
        return frozenset()
    return MODERN - {Capability.PLAYBACK_ACKS, Capability.PLAYBACK_CONTROL} if fast else MODERN

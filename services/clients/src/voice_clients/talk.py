"""`voice talk`: a conversation by microphone and loudspeaker, or by keyboard."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from voice_clients.caller import CallConfig
from voice_clients.calling_again import CallingAgain
from voice_clients.channel import Security
from voice_clients.controls import Controls, parse_command
from voice_clients.conversation import Conversation, State
from voice_clients.errors import (
    BadInputError,
    CallError,
    ConnectionLostError,
    first_error,
)
from voice_clients.events import (
    MODERN,
    CallEvent,
    Capability,
    Ended,
    Event,
    EventKind,
    GoAway,
    Lost,
    Playback,
    PlaybackAction,
)
from voice_clients.keyboard import Digit, Key, Keyboard, Line
from voice_clients.listener import deliver
from voice_clients.resuming import ResumeOptions, ResumingCall, connect_resuming
from voice_clients.sound import (
    SILENT_DB,
    Device,
    Loudspeaker,
    Microphone,
    choose_device,
    choose_rates,
    level_db,
    list_devices,
)
from voice_clients.typing_lines import TypedLines
from voice_clients.view import View
from voice_clients.webrtc_audio import EchoCancellation, make_cleaner

ACK_EVERY_S = 0.15
LEVEL_EVERY_S = 0.1
DEAD_BLOCKS = 150  # 3 s of exact zeros: a live microphone always hisses
DEAD_MICROPHONE = (
    "The microphone delivers nothing but exact silence. Is it muted? On macOS, allow your terminal under System "
    "Settings, Privacy & Security, Microphone, and start it again."
)


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """What `voice talk` was asked for. `config` lacks its rates: the devices decide."""

    targets: tuple[str, ...]
    security: Security
    resume_for_s: float
    config: CallConfig
    rate_hz: int | None
    input: str | None
    output: str | None
    push_to_talk: bool
    text: bool
    speaker: bool
    echo_cancellation: EchoCancellation = EchoCancellation.AUTO
    noise_suppression: bool = True


@dataclass(slots=True)
class MicrophoneSwitch:
    """Whether what the microphone hears is sent. Closed, it sends silence: a recogniser's stream dies in a gap."""

    push_to_talk: bool
    open: bool

    def words(self, *, can_hold: bool) -> str:
        """For the foot of the terminal."""
        if self.push_to_talk:
            if self.open:
                return "talking - let go of space to send" if can_hold else "talking - space sends"
            return "hold space to talk, q quits" if can_hold else "space to talk, q quits"
        return "open - space or m mutes, i interrupts, q quits" if self.open else "muted - space or m opens, q quits"


class _Stop(Exception):
    """Raised inside the task group of a call to leave it."""


class Talk:
    """The devices and the person; calls come and go when the gateway does."""

    def __init__(self, options: TalkOptions, view: View) -> None:
        self._options = options
        self._view = view
        self._keyboard = Keyboard()
        self._switch = MicrophoneSwitch(options.push_to_talk, open=not options.push_to_talk)
        self._microphone: Microphone | None = None
        self._loudspeaker: Loudspeaker | None = None
        self._lines: TypedLines | None = None
        self._conversation = Conversation()
        self._flushed = asyncio.Event()

    async def run(self) -> int:
        """Talk until the person ends it. Returns the exit status; raises VoiceError."""
        with contextlib.ExitStack() as devices:
            config = self._open_devices(devices)
            if not self._options.text:
                devices.enter_context(self._keyboard)
                if self._switch.push_to_talk and not self._keyboard.available:
                    raise BadInputError("--push-to-talk needs a terminal, to see the space key.")
            if self._microphone is not None:
                await self._clean(self._microphone)
            devices.enter_context(_stop_on_signals())
            try:
                await self._calls(config)
            except* _Stop:
                pass
        return 0

    def _open_devices(self, devices: contextlib.ExitStack) -> CallConfig:
        options = self._options
        found: list[Device] = []
        speaker = options.speaker
        if not options.text or speaker:
            try:
                found = list_devices()
                if options.text:
                    choose_device(found, options.output, for_input=False)
            except BadInputError as error:
                if not options.text or options.output is not None:
                    raise
                speaker = False
                self._view.note(f"{error} The answers are shown only.")
        microphone = None if options.text else choose_device(found, options.input, for_input=True)
        loudspeaker = choose_device(found, options.output, for_input=False) if speaker else None
        input_hz, output_hz = choose_rates(microphone, loudspeaker, options.rate_hz)
        if loudspeaker is not None:
            self._loudspeaker = devices.enter_context(Loudspeaker(loudspeaker, output_hz))
            self._view.note(f"loudspeaker: {loudspeaker.name}, {output_hz} Hz")
        if microphone is not None:
            far_end = self._loudspeaker.far_end if self._loudspeaker is not None else None
            self._microphone = devices.enter_context(Microphone(microphone, input_hz, far_end=far_end))
            self._view.note(f"microphone: {microphone.name}, {input_hz} Hz")
        else:
            self._lines = TypedLines()
        return replace(
            options.config,
            sample_rate_hz=input_hz if microphone is not None else output_hz,
            output_sample_rate_hz=output_hz if loudspeaker is not None else 0,
        )

    async def _clean(self, microphone: Microphone) -> None:
        """Keep the loudspeaker and noise out of what is sent, where wanted and possible. Raises BadInputError."""
        loudspeaker, options = self._loudspeaker, self._options
        delay_ms = microphone.latency_ms + (loudspeaker.latency_ms if loudspeaker is not None else 0.0)
        made = await asyncio.to_thread(  # the library takes most of a second to load
            make_cleaner,
            options.echo_cancellation,
            noise_suppression=options.noise_suppression,
            microphone_hz=microphone.rate_hz,
            loudspeaker_hz=loudspeaker.rate_hz if loudspeaker is not None else None,
            delay_ms=round(delay_ms),
        )
        if isinstance(made, str):
            if made:
                self._view.note(made)
            return
        microphone.cleaner = made

    async def _calls(self, config: CallConfig) -> None:
        """Call, and call again when the gateway went away."""
        again, reached_once = CallingAgain(), False
        while True:
            begun_s = time.monotonic()
            try:
                async with connect_resuming(
                    self._options.targets,
                    config,
                    security=self._options.security,
                    options=ResumeOptions(self._options.resume_for_s),
                ) as call:
                    reached_once = True
                    await self._one_call(call)
                    return
            except* CallError as group:
                error = first_error(group)
            wait_s = again.wait_s(error, lasted_s=time.monotonic() - begun_s)
            if wait_s is None or not reached_once:
                raise error
            if wait_s == 0:
                self._view.note(f"{error} The conversation begins anew.")
                continue
            self._view.note(f"{error} Calling again in {wait_s:g} s; Ctrl-C ends.")
            await self._wait_or_stop(wait_s)

    async def _wait_or_stop(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._keyboard.next() is not Key.QUIT:
                    pass  # other keys belong to a call
                raise _Stop

    async def _one_call(self, call: ResumingCall) -> None:
        self._conversation = Conversation()
        controls = Controls(call, self._conversation, self._view.note)
        if self._loudspeaker is not None:
            self._loudspeaker.fresh_buffer()
        if self._microphone is not None:
            self._microphone.forget()
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._keys(controls), name="keys")]
            if self._loudspeaker is not None:
                background.append(tasks.create_task(self._acknowledge(call, self._loudspeaker), name="acks"))
            if self._microphone is not None:
                background.append(tasks.create_task(self._record(call, self._microphone), name="microphone"))
            if self._lines is not None:
                background.append(tasks.create_task(self._type(call, self._lines, controls), name="typing"))
            async for event in call:
                self._take(call, event)
                if isinstance(event, Ended):
                    event.raise_for_error()
            await self._play_out()
            if self._lines is None:  # a microphone never says that it has nothing more to say
                raise ConnectionLostError("The gateway ended the call.", retryable=True)
            for task in background:
                task.cancel()

    def _take(self, call: ResumingCall, event: CallEvent) -> None:
        if self._loudspeaker is not None:
            with self._loudspeaker.lock:
                deliver(event, self._loudspeaker.buffer)
                played = self._loudspeaker.buffer.played
            if isinstance(event, Lost):
                call.note_played(played.generation, played.samples)
        self._conversation.apply(event)
        if self._loudspeaker is not None:
            for generation, at_ns in self._loudspeaker.take_begun():
                self._conversation.played(generation, at_ns)
        self._view.show(event, self._conversation)
        match event:
            case Playback(action=PlaybackAction.FLUSH):
                self._flushed.set()
            case GoAway(checkpoint=None):
                self._view.note(event.reason or "The gateway is about to stop.")
            case Event(kind=EventKind.END_OF_TURN) if self._lines is not None:
                self._flushed.set()
            case _:
                pass

    async def _play_out(self) -> None:
        """The call has ended well: let the rest of the answer be heard."""
        if self._loudspeaker is None:
            return
        with self._loudspeaker.lock:
            self._loudspeaker.buffer.end_of_answer()
            rest_s = self._loudspeaker.buffer.buffered_samples / self._loudspeaker.rate_hz
        await asyncio.sleep(rest_s)

    async def _record(self, call: ResumingCall, microphone: Microphone) -> None:
        """Send what is heard, at the pace of the microphone."""
        shown_s, loudest_db = 0.0, SILENT_DB
        zeros: int | None = 0  # blocks of exact silence so far; None once a sound came or the person was told
        with contextlib.suppress(CallError):  # the reader tells why the call ended
            while True:
                block = await microphone.read()
                if zeros is not None:
                    zeros = None if any(block) else zeros + 1
                    if zeros == DEAD_BLOCKS:
                        zeros = None
                        self._view.note(DEAD_MICROPHONE)
                await call.send_audio(block if self._switch.open else bytes(len(block)))
                loudest_db = max(loudest_db, level_db(block))
                now_s = time.monotonic()
                if now_s - shown_s >= LEVEL_EVERY_S:
                    self._view.level(loudest_db, self._status(microphone))
                    shown_s, loudest_db = now_s, SILENT_DB

    def _status(self, microphone: Microphone) -> str:
        if self._keyboard.line is not None:
            return self._keyboard.line
        words = self._switch.words(can_hold=self._keyboard.reports_releases)
        if microphone.dropped_blocks:
            words += f" - {microphone.dropped_blocks * 20} ms lost: the network is slow"
        return words

    async def _acknowledge(self, call: ResumingCall, loudspeaker: Loudspeaker) -> None:
        with contextlib.suppress(CallError):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ACK_EVERY_S):
                        await self._flushed.wait()
                self._flushed.clear()
                with loudspeaker.lock:
                    acks = loudspeaker.buffer.next_acks()
                for ack in acks:
                    await call.ack(ack.generation, ack.samples)

    async def _type(self, call: ResumingCall, lines: TypedLines, controls: Controls) -> None:
        """Each line is a turn or a command; the end of input says goodbye and waits for what is still to come."""
        with contextlib.suppress(CallError):
            while (line := await lines.next()) is not None:
                text = line.strip()
                if (command := parse_command(text)) is not None:
                    await controls.run(command)
                elif text:
                    await call.send_text(text.removeprefix("/") if text.startswith("//") else text)
            await call.half_close()

    async def _keys(self, controls: Controls) -> None:
        while True:
            match await self._keyboard.next():
                case Key.QUIT:
                    raise _Stop
                case Key.INTERRUPT:
                    await controls.interrupt()
                case Key.HOLD:
                    await controls.toggle_hold()
                case Digit(digit=digit):
                    await controls.press(digit)
                case Line(text=text):
                    if (command := parse_command(text)) is not None:
                        await controls.run(command)
                case Key.MUTE if not self._switch.push_to_talk:
                    self._switch.open = not self._switch.open
                case Key.TALK_DOWN if not self._switch.push_to_talk:
                    self._switch.open = not self._switch.open
                case Key.TALK_DOWN if not self._switch.open:
                    await self._start_talking(controls)
                case Key.TALK_DOWN | Key.TALK_UP if self._switch.push_to_talk and self._switch.open:
                    # The turn ends now where the gateway can be told so; else after its own wait for silence.
                    self._switch.open = False
                    await controls.commit_audio()
                case _:
                    pass

    async def _start_talking(self, controls: Controls) -> None:
        self._switch.open = True
        if self._conversation.state in {State.SPEAKING, State.PAUSED}:
            await controls.interrupt()


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the talk as Ctrl-C does, so that the terminal is put back."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    assert task is not None
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    for name in names:
        loop.add_signal_handler(getattr(signal, name), task.cancel)
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(getattr(signal, name))


def capabilities(*, speaker: bool) -> frozenset[Capability]:
    """What `voice talk` announces; without a loudspeaker there is nothing to acknowledge, duck or pause."""
    return MODERN if speaker else MODERN - {Capability.PLAYBACK_ACKS, Capability.PLAYBACK_CONTROL}

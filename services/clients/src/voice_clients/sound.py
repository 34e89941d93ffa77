"""Microphone and loudspeaker, through PortAudio.

`sounddevice` is imported when sound is first wanted: without the PortAudio library the import itself fails. PortAudio
calls back in its own thread; what crosses over to the event loop is bounded, and says what happens when it is full.
"""

import asyncio
import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from voice_clients.echo import Cleaner, FarEnd
from voice_clients.errors import BadInputError
from voice_clients.playback import PlaybackBuffer

BLOCK_MS = 20
MICROPHONE_QUEUE_BLOCKS = 100  # 2 s; when full the oldest block is dropped and counted
SILENT_DB = -90.0
# Tried in this order; recognisers work at 16 kHz, and every sound card knows 48 and 44.1.
RATES_HZ = (16_000, 48_000, 44_100, 32_000, 24_000, 8_000)

NO_PORTAUDIO = (
    "No PortAudio library is installed, so there is no sound. Debian and Ubuntu: apt-get install libportaudio2; "
    "Fedora: dnf install portaudio; on macOS reinstall the package sounddevice, which carries it."
)


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device as PortAudio numbers it."""

    number: int
    name: str
    host: str
    inputs: int
    outputs: int
    default_rate_hz: int
    is_default_input: bool
    is_default_output: bool


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """ALSA and JACK write their probing to file descriptor 2, over whatever is on the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a file descriptor is wanted
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _load() -> ModuleType:
    """The sounddevice module. Raises BadInputError where PortAudio is missing."""
    try:
        with _quiet_stderr():
            import sounddevice  # noqa: PLC0415 - see the module
    except OSError as error:
        raise BadInputError(NO_PORTAUDIO) from error
    module: ModuleType = sounddevice
    return module


def list_devices() -> list[Device]:
    """All devices. Raises BadInputError where PortAudio is missing or fails."""
    sd = _load()
    try:
        found = sd.query_devices()
        hosts = sd.query_hostapis()
        default_input, default_output = sd.default.device
    except sd.PortAudioError as error:
        raise BadInputError(f"The sound system cannot be asked for its devices: {_said(error)}.") from error
    if hosts:
        default_input = default_input if default_input >= 0 else hosts[0]["default_input_device"]
        default_output = default_output if default_output >= 0 else hosts[0]["default_output_device"]
    return [
        Device(
            number=number,
            name=str(item["name"]),
            host=str(hosts[item["hostapi"]]["name"]),
            inputs=int(item["max_input_channels"]),
            outputs=int(item["max_output_channels"]),
            default_rate_hz=int(item["default_samplerate"]),
            is_default_input=number == default_input,
            is_default_output=number == default_output,
        )
        for number, item in enumerate(found)
    ]


def choose_device(devices: list[Device], wanted: str | None, *, for_input: bool) -> Device:
    """The device of a number or of a part of a name; the default where nothing is wanted. Raises BadInputError."""
    option, noun = ("--input", "microphone") if for_input else ("--output", "loudspeaker")
    usable = [item for item in devices if (item.inputs if for_input else item.outputs) > 0]
    if not usable:
        raise BadInputError(f"This machine has no {noun}: connect one, or see `voice devices`.")
    if wanted is None:
        for item in usable:
            if item.is_default_input if for_input else item.is_default_output:
                return item
        return usable[0]
    if wanted.isdigit():
        for item in usable:
            if item.number == int(wanted):
                return item
        raise BadInputError(f"{option} {wanted}: no {noun} has this number; see `voice devices`.")
    matches = [item for item in usable if wanted.lower() in item.name.lower()]
    exact = [item for item in matches if item.name.lower() == wanted.lower()]
    if len(exact) == 1 or len(matches) == 1:
        return (exact or matches)[0]
    if not matches:
        raise BadInputError(f"{option} {wanted}: no {noun} has this in its name; see `voice devices`.")
    names = ", ".join(f"{item.number} {item.name}" for item in matches)
    raise BadInputError(f"{option} {wanted}: several match ({names}); give the number.")


def choose_rates(microphone: Device | None, loudspeaker: Device | None, wanted: int | None) -> tuple[int, int]:
    """Input and output rate in Hz: one rate for both where there is one. Raises BadInputError."""
    rates = (wanted,) if wanted is not None else RATES_HZ
    inputs = [rate for rate in rates if microphone is None or _can_open(microphone, rate, for_input=True)]
    outputs = [rate for rate in rates if loudspeaker is None or _can_open(loudspeaker, rate, for_input=False)]
    for device, found in ((microphone, inputs), (loudspeaker, outputs)):
        if not found and device is not None:
            raise BadInputError(f"{device.name} opens at none of {', '.join(map(str, rates))} Hz, or is in use.")
    both = [rate for rate in inputs if rate in outputs]
    return (both[0], both[0]) if both else (inputs[0], outputs[0])


def _can_open(device: Device, rate_hz: int, *, for_input: bool) -> bool:
    return _channels(device, rate_hz, for_input=for_input) is not None


def _channels(device: Device, rate_hz: int, *, for_input: bool) -> int | None:
    """One channel where the device has it so, else two, else None."""
    sd = _load()
    test = sd.check_input_settings if for_input else sd.check_output_settings
    for channels in (1, 2):
        with contextlib.suppress(sd.PortAudioError, ValueError), _quiet_stderr():
            test(device=device.number, channels=channels, dtype="int16", samplerate=rate_hz)
            return channels
    return None


def _said(error: Exception) -> str:
    return str(error).strip().rstrip(".")


def level_db(pcm: bytes) -> float:
    """Loudness of s16le audio in dB below full scale."""
    if not pcm:
        return SILENT_DB
    rms = float(np.sqrt(np.mean(np.frombuffer(pcm, dtype="<i2").astype(np.float32) ** 2)))
    return max(SILENT_DB, 20 * math.log10(rms / 32768)) if rms > 0 else SILENT_DB


class Microphone:
    """Blocks of 20 ms of s16le mono from a device, for one reader on the event loop.

    Each block keeps what the loudspeaker was given since the block before, and a `cleaner` gets both as it is read:
    0.25 ms of work for 20 ms of sound, which the event loop does.
    """

    def __init__(self, device: Device, rate_hz: int, *, far_end: FarEnd | None = None) -> None:
        self.device = device
        self.rate_hz = rate_hz
        self.dropped_blocks = 0
        self.cleaner: Cleaner | None = None
        self._far_end = far_end if far_end is not None else FarEnd()
        self._loop = asyncio.get_running_loop()
        self._blocks: deque[tuple[bytes, bytes]] = deque()  # heard, and played meanwhile
        self._arrived = asyncio.Event()
        self._channels = _channels(device, rate_hz, for_input=True) or 1
        self._stream: Any = None  # sounddevice has no types

    def __enter__(self) -> Self:
        """Start recording. Raises BadInputError."""
        self._stream = _open_stream("RawInputStream", self.device, self.rate_hz, self._channels, self._callback)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop recording."""
        self._stream.close(ignore_errors=True)

    def _callback(self, data: Any, _frames: int, _when: object, _status: object) -> None:
        """PortAudio's thread."""
        block = bytes(data)
        if self._channels == 2:
            pairs = np.frombuffer(block, dtype="<i2").astype(np.int32).reshape(-1, 2)
            block = (pairs.sum(axis=1) // 2).astype("<i2").tobytes()
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens
            self._loop.call_soon_threadsafe(self._take, block, self._far_end.take())

    def _take(self, block: bytes, played: bytes) -> None:
        if len(self._blocks) >= MICROPHONE_QUEUE_BLOCKS:
            self._blocks.popleft()
            self.dropped_blocks += 1
        self._blocks.append((block, played))
        self._arrived.set()

    def forget(self) -> None:
        """Throw away what has been recorded and not read: it is of the time between two calls."""
        self._blocks.clear()
        self.dropped_blocks = 0

    @property
    def latency_ms(self) -> float:
        """From the sound at the device to the callback, as the device says."""
        return float(self._stream.latency) * 1000

    async def read(self) -> bytes:
        """The next block, cleaned where there is a cleaner."""
        while not self._blocks:
            self._arrived.clear()
            await self._arrived.wait()
        block, played = self._blocks.popleft()
        return block if self.cleaner is None else self.cleaner.clean(block, played)


class Loudspeaker:
    """Plays a PlaybackBuffer. `buffer` may be touched only inside `with loudspeaker.lock`.

    A sample counts as played once the device has it: it cannot be called back from there, so it will be heard.
    """

    def __init__(self, device: Device, rate_hz: int) -> None:
        self.device = device
        self.rate_hz = rate_hz
        self.lock = threading.Lock()  # held for microseconds, by the event loop and PortAudio's thread
        self.buffer = PlaybackBuffer(rate_hz)
        self.far_end = FarEnd()
        self.begun: list[tuple[int, int]] = []
        """Generations that began to be played, each with its time.monotonic_ns(); touched inside the lock."""
        self._channels = _channels(device, rate_hz, for_input=False) or 1
        self._stream: Any = None  # sounddevice has no types

    def __enter__(self) -> Self:
        """Start playing. Raises BadInputError."""
        self._stream = _open_stream("RawOutputStream", self.device, self.rate_hz, self._channels, self._callback)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop playing."""
        self._stream.close(ignore_errors=True)

    @property
    def latency_ms(self) -> float:
        """From the callback to the sound at the device, as the device says."""
        return float(self._stream.latency) * 1000

    def fresh_buffer(self) -> None:
        """Begin anew for a new call, whose generations start over."""
        with self.lock:
            self.buffer = PlaybackBuffer(self.rate_hz)
            self.begun.clear()

    def take_begun(self) -> list[tuple[int, int]]:
        """Generations that began to be played since the last call."""
        with self.lock:
            begun, self.begun = self.begun, []
        return begun

    def _callback(self, out: Any, frames: int, _when: object, _status: object) -> None:
        """PortAudio's thread."""
        with self.lock:
            before = self.buffer.played
            block = self.buffer.take(frames)
            played = self.buffer.played
            if played != before and (played.generation != before.generation or not before.samples):
                self.begun.append((played.generation, time.monotonic_ns()))
        self.far_end.put(block)
        if self._channels == 2:
            block = np.repeat(np.frombuffer(block, dtype="<i2"), 2).tobytes()
        out[:] = block


def _open_stream(kind: str, device: Device, rate_hz: int, channels: int, callback: Any) -> Any:
    sd = _load()
    try:
        with _quiet_stderr():
            stream = getattr(sd, kind)(
                samplerate=rate_hz,
                blocksize=rate_hz * BLOCK_MS // 1000,
                device=device.number,
                channels=channels,
                dtype="int16",
                latency="low",
                callback=callback,
            )
            stream.start()
    except (sd.PortAudioError, ValueError) as error:
        noun = "microphone" if kind == "RawInputStream" else "loudspeaker"
        raise BadInputError(f"The {noun} {device.name} cannot be opened: {_said(error)}.") from error
    return stream

"""`voice talk` on virtual sound devices: PulseAudio's null sinks in place of a microphone and a loudspeaker."""

import asyncio
import contextlib
import ctypes.util
import os
import pty
import re
import shutil
import signal
import sys
import tempfile
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from client_fake_gateway import FakeGateway, serving
from client_harness import write_question

from voice_clients.audio_file import read_recording
from voice_clients.errors import BadInputError
from voice_clients.sound import Device, choose_device, level_db
from voice_clients.testing.room import power_db
from voice_contracts import voice_workflow_pb2 as pb

NEEDED = ("pulseaudio", "pactl", "paplay", "parec")
INSTALL = (
    "These tests need a sound server without a sound card. Debian and Ubuntu: apt-get install pulseaudio "
    "pulseaudio-utils libportaudio2 libasound2-plugins. To leave them out: VOICE_TESTS_WITHOUT_SOUND=1."
)
# Ctrl-C on a terminal signals the session that has it as its controlling terminal.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
RECORDINGS = Path(__file__).parents[2] / "speech-worker/tests/audio"
STEP_S = 20.0  # the longest wait for anything of these tests


@dataclass(frozen=True)
class SoundServer:
    """A PulseAudio of its own, with a loudspeaker, and a microphone that hears what is played to `micfeed`."""

    environ: dict[str, str]

    async def play(self, path: Path) -> None:
        """Let the microphone hear a file."""
        await _succeed(self.environ, "paplay", "--device=micfeed", str(path))

    @contextlib.asynccontextmanager
    async def recording(self) -> AsyncIterator[asyncio.StreamReader]:
        """What the loudspeaker plays: s16le mono at 16 kHz, from when recording has begun."""
        recorder = await asyncio.create_subprocess_exec(
            *(
                "parec",
                "--device=speaker.monitor",
                "--rate=16000",
                "--channels=1",
                "--format=s16le",
                "--latency-msec=20",
            ),
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert recorder.stdout is not None
            async with asyncio.timeout(STEP_S):
                await recorder.stdout.readexactly(2)
                yield recorder.stdout
        finally:
            recorder.kill()
            await recorder.wait()


async def _succeed(environ: dict[str, str], *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(STEP_S):
        _, err = await process.communicate()
    assert process.returncode == 0, (command, err.decode())


@pytest.fixture
async def sound_server() -> AsyncIterator[SoundServer]:
    """A microphone that hears what is played to `micfeed`, and nothing else."""
    async with _sound_server("micfeed") as server:
        yield server


@contextlib.asynccontextmanager
async def _sound_server(microphone_hears: str) -> AsyncIterator[SoundServer]:
    """Fails with what to install where it cannot run."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio2")
    assert not missing, f"Missing: {', '.join(missing)}. {INSTALL}"
    folder = Path(tempfile.mkdtemp(prefix="voice-"))  # short: the path of a socket may have 107 characters
    home, socket = folder / "home", folder / "pulse.sock"
    home.mkdir(mode=0o700)
    (home / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "XDG_", "DBUS_"))},
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(folder),
        "PULSE_SERVER": f"unix:{socket}",
        "PYTHONUTF8": "1",
    }
    modules = (
        f"module-native-protocol-unix auth-anonymous=1 socket={socket}",
        "module-null-sink sink_name=speaker",
        "module-null-sink sink_name=micfeed",
        f"module-remap-source master={microphone_hears}.monitor source_name=mic",
    )
    daemon = await asyncio.create_subprocess_exec(
        *("pulseaudio", "--daemonize=no", "-n", "--exit-idle-time=-1", "--use-pid-file=no"),
        *(f"--load={module}" for module in modules),
        env=environ,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(STEP_S):
            while not socket.exists():
                assert daemon.returncode is None, f"pulseaudio ended at once. {INSTALL}"
                await asyncio.sleep(0.02)
        await _succeed(environ, "pactl", "set-default-sink", "speaker")
        await _succeed(environ, "pactl", "set-default-source", "mic")
        yield SoundServer(environ)
    finally:
        if daemon.returncode is None:
            daemon.terminate()
            await daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _lines_until(out: asyncio.StreamReader, words: str) -> list[str]:
    lines: list[str] = []
    async with asyncio.timeout(STEP_S):
        while not lines or words not in lines[-1]:
            line = await out.readline()
            assert line, lines
            lines.append(line.decode().rstrip())
    return lines


@contextlib.asynccontextmanager
async def _talking(
    server: SoundServer, *arguments: str, terminal: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE if terminal is None else terminal
    command = [sys.executable, "-m", "voice_clients", "talk", *arguments]
    if terminal is not None:
        command = [sys.executable, "-c", TAKE_TERMINAL, *command]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**server.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        stdin=asyncio.subprocess.DEVNULL if terminal is None else terminal,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.edge
async def test_a_spoken_question_is_answered_from_the_loudspeaker(sound_server: SoundServer, tmp_path: Path) -> None:
    gateway = FakeGateway()
    async with serving(gateway) as target, _talking(sound_server, "--target", target) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert await _lines_until(process.stdout, "call call-1") == [
            "loudspeaker: default, 16000 Hz",
            "microphone: default, 16000 Hz",
            "call call-1",
        ]
        async with sound_server.recording() as heard:
            await sound_server.play(write_question(tmp_path))
            lines = await _lines_until(process.stdout, "first audio of the answer")
            async with asyncio.timeout(STEP_S):
                await gateway.heard.ack_of(1, 3200)
                loud = 0
                while loud < 2500:  # of 3200 samples of a sine, some are near zero
                    loud += int((np.abs(np.frombuffer(await heard.readexactly(320), "<i2").astype(int)) > 1000).sum())
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        assert await process.stderr.read() == b""
    assert "you: hello gateway" in lines
    assert any(line.startswith("assistant: You said hello. Nice.") for line in lines)
    counts = [samples for generation, samples in gateway.heard.acks if generation == 1]
    assert counts == sorted(counts)


@pytest.mark.edge
async def test_the_timings_of_a_turn_tell_when_the_loudspeaker_began(sound_server: SoundServer, tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.pause_after_chunks = 4  # it waits until those are played: only then the turn ends and is told
    arguments = ("--timings", "line")
    async with serving(gateway) as target, _talking(sound_server, "--target", target, *arguments) as process:
        assert process.stdout is not None
        await _lines_until(process.stdout, "call call-1")
        await sound_server.play(write_question(tmp_path))
        line = (await _lines_until(process.stdout, "turn 1: "))[-1]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert line.startswith(
        "turn 1: endpoint 200 > llm first token 320 > tts first audio 400 ms, endpoint by silence; here: "
    )
    found = re.search(r"received (\d+), played (\d+) ms after the final transcript$", line)
    assert found is not None, line
    assert int(found[2]) >= int(found[1])


@pytest.fixture
async def open_sound_server() -> AsyncIterator[SoundServer]:
    """A microphone that hears the loudspeaker, at full loudness."""
    async with _sound_server("speaker") as server:
        yield server


@pytest.mark.edge
@pytest.mark.parametrize("cancel", ["on", "off"])
async def test_the_loudspeaker_is_taken_out_of_what_the_microphone_sends(
    open_sound_server: SoundServer, cancel: str
) -> None:
    gateway = FakeGateway()
    names = ("tell-me-a-long-story", "hello-tell-me-who-you-are", "my-name-is-sarah")
    gateway.script.greeting = b"".join(read_recording(RECORDINGS / f"{name}.wav").pcm for name in names)
    gateway.script.mute = True
    samples = len(gateway.script.greeting) // 2
    arguments = ("--echo-cancellation", cancel, "--noise-suppression", "off")
    async with serving(gateway) as target, _talking(open_sound_server, "--target", target, *arguments) as process:
        async with asyncio.timeout(STEP_S):
            await gateway.heard.ack_of(1, samples)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STEP_S):
            assert await process.wait() == 0
    loudest_s = max(
        power_db(bytes(gateway.heard.audio[at : at + 32_000])) for at in range(0, len(gateway.heard.audio), 32_000)
    )
    played = power_db(gateway.script.greeting)
    # Echo as loud as the answer itself, in its loudest second, is gone but for a remainder 20 dB below it.
    assert (loudest_s < played - 20) if cancel == "on" else (loudest_s > played - 3), (loudest_s, played)


@pytest.mark.edge
async def test_push_to_talk_on_a_terminal_that_is_left_as_it_was(sound_server: SoundServer, tmp_path: Path) -> None:
    gateway = FakeGateway()
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    screen = bytearray()
    loop = asyncio.get_running_loop()
    grew = asyncio.Event()

    def read() -> None:
        screen.extend(os.read(master, 65_536))
        grew.set()

    async def shows(words: bytes) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STEP_S):
                while words not in screen:
                    grew.clear()
                    await grew.wait()
        assert words in screen
        screen.clear()

    loop.add_reader(master, read)
    try:
        async with (
            serving(gateway) as target,
            _talking(sound_server, "--target", target, "--push-to-talk", terminal=slave) as process,
        ):
            await shows(b"space to talk, q quits")
            os.write(master, b" ")
            await shows(b"talking - space sends")
            await sound_server.play(write_question(tmp_path))
            os.write(master, b" ")
            await shows(b"You said hello. Nice.")
            assert gateway.heard.controls[-1] == pb.CONTROL_COMMIT_AUDIO
            os.write(master, b"\x03")
            async with asyncio.timeout(STEP_S):
                assert await process.wait() == 0
    finally:
        loop.remove_reader(master)
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(master, False)
        screen.extend(os.read(master, 65_536))
    assert termios.tcgetattr(slave) == before
    assert b"Traceback" not in screen
    assert screen.rindex(b"\x1b[?25h") > screen.rfind(b"\x1b[?25l")
    os.close(slave)
    os.close(master)


@pytest.mark.edge
async def test_a_gateway_that_goes_away_is_called_again(sound_server: SoundServer) -> None:
    gateway = FakeGateway()
    async with contextlib.AsyncExitStack() as first:
        target = await first.enter_async_context(serving(gateway))
        async with _talking(sound_server, "--target", target, "--no-speaker") as process:
            assert process.stdout is not None
            await _lines_until(process.stdout, "call call-1")
            await first.aclose()
            lost = await _lines_until(process.stdout, "Calling again in 1 s")
            assert "broke off" in lost[-1]
            async with serving(gateway, port=int(target.rpartition(":")[2])):
                await _lines_until(process.stdout, "call call-1")
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0


@pytest.mark.edge
async def test_a_call_that_the_gateway_ends_is_made_again(sound_server: SoundServer) -> None:
    gateway = FakeGateway()
    gateway.script.break_after_bytes, gateway.script.break_with = 6400, grpc.StatusCode.OK
    async with serving(gateway) as target, _talking(sound_server, "--target", target, "--no-speaker") as process:
        assert process.stdout is not None
        lines = await _lines_until(process.stdout, "Calling again in 1 s")
        assert lines[-1] == "The gateway ended the call. Calling again in 1 s; Ctrl-C ends."
        await _lines_until(process.stdout, "call call-1")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.edge
async def test_devices_are_listed(sound_server: SoundServer) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voice_clients", "devices"),
        env=sound_server.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(STEP_S):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert any("default" in line and "input and output" in line for line in out.decode().splitlines())


MIC = Device(0, "Built-in Microphone", "Core", 1, 0, 48_000, is_default_input=True, is_default_output=False)
HEADSET = Device(1, "USB Headset", "Core", 1, 2, 44_100, is_default_input=False, is_default_output=True)
HEADSET_2 = Device(2, "USB Headset Two", "Core", 1, 2, 44_100, is_default_input=False, is_default_output=False)
ALL = [MIC, HEADSET, HEADSET_2]


@pytest.mark.parametrize(
    ("wanted", "for_input", "device"),
    [
        (None, True, MIC),
        (None, False, HEADSET),
        ("2", True, HEADSET_2),
        ("built", True, MIC),
        ("usb headset", False, HEADSET),
        ("two", False, HEADSET_2),
    ],
)
def test_devices_are_chosen_by_number_or_name(wanted: str | None, for_input: bool, device: Device) -> None:
    assert choose_device(ALL, wanted, for_input=for_input) == device


@pytest.mark.parametrize(
    ("devices", "wanted", "for_input", "words"),
    [
        ([], None, True, "This machine has no microphone"),
        ([MIC], None, False, "This machine has no loudspeaker"),
        (ALL, "0", False, "--output 0: no loudspeaker has this number"),
        (ALL, "bluetooth", True, "--input bluetooth: no microphone has this in its name"),
        (ALL, "usb", True, r"--input usb: several match \(1 USB Headset, 2 USB Headset Two\); give the number"),
    ],
)
def test_devices_that_are_not_there_get_one_sentence(
    devices: list[Device], wanted: str | None, for_input: bool, words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        choose_device(devices, wanted, for_input=for_input)


def test_levels_are_in_db_below_full_scale() -> None:
    assert level_db(b"") == level_db(bytes(640)) == -90.0
    assert level_db(np.full(320, 32767, "<i2").tobytes()) == pytest.approx(0.0, abs=0.01)
    assert level_db(np.full(320, 3277, "<i2").tobytes()) == pytest.approx(-20.0, abs=0.01)

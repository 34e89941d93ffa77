"""Two gateways with all in them that a dashboard shows: answers, interruptions, coughs, failing backends, refused
calls, calls that are lost and come back, good and bad edits of the configuration, journals, and engines that really
compute.

Pod 0 is connected to fakes, and to a second model behind one that fails for a while; its calls are traced. Pod 1 is
connected to the speech worker and the responder, as `make demo` is.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.barge_in import TEXTS
from bench.callers import Caller
from bench.collector import collecting
from bench.lines import RawLine
from bench.phone import CallFailedError, Phone
from bench.processes import LOGS, Served, gateway
from bench.recordings import SPEECH, utterances
from bench.scripted import Studio, Utterance
from bench.timeline import Timeline
from monitoring.prometheus import Target
from voice_clients.caller import Call, CallConfig, connect
from voice_clients.errors import CallError, ConnectionLostError
from voice_clients.events import AnswerAudio, CallEvent, Capability, Cause, Ended
from voice_clients.resumption import CallMemory
from voice_fakes import FakesOptions, serving_fakes
from voice_fakes.script import build_script

CHUNK_MS = 20
RATE_HZ = 16_000
AWAY_S = 0.2
REPLY = "The air near the coast is mild today. The wind comes from the west until the evening."
LONG_REPLY = " ".join(f"This is sentence number {number} of a patient answer." for number in range(12))
READY_S = 40.0
SETTLE_S = 2.0
"""A cough is over, and the answer goes on, within this time."""
ERRORS_FROM, ERRORS = 6, 5
"""Requests to the first model that fail: three in a row open its breaker, two probes fail, and the third succeeds."""


@dataclass(slots=True)
class Scene:
    """What runs, and what became of the calls."""

    targets: list[Target]
    gateways: list[Served]
    speech: list[list[bytes]]
    questions: list[Utterance]
    cough: Utterance
    config: Path
    calls: int = 0
    errors: list[str] = field(default_factory=list)


@asynccontextmanager
async def scene(folder: Path, *, max_calls: int = 8) -> AsyncIterator[Scene]:
    """Start all of it; `folder` takes configuration, journals and logs."""
    LOGS.mkdir(parents=True, exist_ok=True)
    studio = Studio()
    questions = [studio.say(text) for text in TEXTS]
    cough = studio.sound("cough", 400)
    config = folder / "config.yaml"
    config.write_text("LLM_TEMPERATURE: 0.5\n")
    asr = {"recordings": [utterance.recording for utterance in (*questions, cough)], "word_delay_ms": 200}
    fault = {"kind": "http_error", "status": 500, "skip": ERRORS_FROM, "times": ERRORS}
    first = build_script({"asr": asr, "llm": {"replies": [REPLY, LONG_REPLY], "faults": [fault]}})
    second = build_script({"llm": {"replies": [REPLY], "first_token_ms": 200}})
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(serving_fakes(first, FakesOptions()))
        spare = await stack.enter_async_context(serving_fakes(second, FakesOptions()))
        worker_port = _free_port()
        speech = await stack.enter_async_context(
            _service(folder, "speech-worker", SPEECH_LISTEN_ADDRESS="127.0.0.1:0", SPEECH_METRICS_PORT=str(worker_port))
        )
        responder = await stack.enter_async_context(
            _service(folder, "offline-responder", RESPONDER_LISTEN_ADDRESS="127.0.0.1:0")
        )
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": await stack.enter_async_context(collecting())}
        on_fakes = {
            **traced,
            "GATEWAY_CONFIG": str(config),
            "MAX_CALLS": str(max_calls),
            "LLM_FALLBACKS": f"http://127.0.0.1:{spare.llm_port}/v1",
            "JOURNAL": "redacted",
            "JOURNAL_DIR": str(folder / "journals"),
        }
        on_engines = {"RIVA_URI": speech, "LLM_BASE_URL": f"http://{responder}/v1", "MAX_CALLS": "4"}
        pods = [await stack.enter_async_context(gateway(fakes, settings=each)) for each in (on_fakes, on_engines)]
        targets = [
            Target(f"127.0.0.1:{pod.metrics_port}", "voice-gateway", f"voice-gateway-gateway-{number}")
            for number, pod in enumerate(pods)
        ]
        targets.append(Target(f"127.0.0.1:{worker_port}", "speech-worker", "speech-worker-0"))
        recorded = utterances(SPEECH, CHUNK_MS)
        yield Scene(targets, pods, recorded, questions, cough, config)


async def play(scene: Scene, seconds: float, *, callers: int = 3) -> None:
    """Calls of all kinds for so long; those in progress at the end are hung up."""
    target, engines = (pod.target for pod in scene.gateways)
    asking = [question.chunks(CHUNK_MS) for question in scene.questions]

    async def calls(number: int, to: str, speech: list[list[bytes]]) -> None:
        record = await Caller(number, to, speech, turns=2, chunk_ms=CHUNK_MS).run()
        scene.calls += 1
        if record.error:
            scene.errors.append(record.error)

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for number in range(callers):
                tasks.create_task(_again(lambda n=number: calls(n, target, asking)), name=f"caller-{number}")  # type: ignore[misc]
            tasks.create_task(_again(lambda: calls(900, engines, scene.speech)), name="caller-of-engines")
            tasks.create_task(_again(lambda: _interrupting(scene, target)), name="interrupter")
            tasks.create_task(_again(lambda: _coming_back(scene, target)), name="caller-in-a-tunnel")
            tasks.create_task(_again(lambda: _crowd(target, seconds)), name="crowd")
            tasks.create_task(_editing(scene.config, seconds), name="operator")
    except TimeoutError:
        return


async def _again(act: Callable[[], Awaitable[None]]) -> None:
    while True:
        await act()


async def _interrupting(scene: Scene, target: str) -> None:
    """Cough over an answer, then speak over it."""
    timeline = Timeline()
    try:
        async with Phone(target, RawLine.dial, name="interrupter", chunk_ms=CHUNK_MS, on_event=timeline.event) as phone:
            await asyncio.sleep(0.3)
            for question in scene.questions[:3]:
                said = await phone.say(question.chunks(CHUNK_MS))
                await phone.until(lambda since=said.end_ms: bool(timeline.audio(since)), "an answer", 10.0)  # type: ignore[misc]
                await asyncio.sleep(0.8)
                await phone.say(scene.cough.chunks(CHUNK_MS))
                await asyncio.sleep(SETTLE_S)
    except (CallFailedError, OSError, TimeoutError) as error:
        scene.errors.append(f"{type(error).__name__}: {error}")
    scene.calls += 1


async def _coming_back(scene: Scene, target: str) -> None:
    """Lose the connection in the middle of an answer, and go on with the call on another one."""
    await asyncio.sleep(SETTLE_S)
    memory = CallMemory.of(RATE_HZ)
    config = CallConfig(sample_rate_hz=RATE_HZ, capabilities=frozenset({Capability.CHECKPOINTS}))
    try:
        async with connect(target, config) as call:
            await call.send_text("What is the weather?")
            await _until(call, memory, lambda event: bool(memory.token) and isinstance(event, AnswerAudio))
        await asyncio.sleep(AWAY_S)
        request = memory.request(Cause.RESET, time.monotonic_ns())
        async with connect(target, replace(config, resume=request)) as call:
            await _until(call, memory, lambda event: isinstance(event, AnswerAudio))
    except CallError as error:
        scene.errors.append(f"{type(error).__name__}: {error}")
    scene.calls += 1


async def _until(call: Call, memory: CallMemory, seen: Callable[[CallEvent], bool]) -> None:
    """Read so far. Raises CallError where the call ends before."""
    async for event in call:
        memory.received(event)
        if isinstance(event, Ended):
            raise event.error or ConnectionLostError("The call is over.")
        if seen(event):
            return


async def _crowd(target: str, seconds: float) -> None:
    """More callers than there is room for, once in a while."""
    await asyncio.sleep(seconds / 4)

    async def stay(number: int) -> None:
        try:
            async with Phone(target, RawLine.dial, name=f"crowd-{number}", chunk_ms=CHUNK_MS) as phone:
                await phone.until(lambda: False, "nothing", 2.0)
        except (CallFailedError, OSError, TimeoutError):
            return  # refused, as it should be, or hung up after two seconds of silence

    await asyncio.gather(*(stay(number) for number in range(8)))


async def _editing(config: Path, seconds: float) -> None:
    """A good edit, a bad one, and the good one again."""
    for temperature in ("0.7", "much", "0.6"):
        await asyncio.sleep(seconds / 5)
        await asyncio.to_thread(config.write_text, f"LLM_TEMPERATURE: {temperature}\n")
    await asyncio.Event().wait()


@asynccontextmanager
async def _service(folder: Path, name: str, **environ: str) -> AsyncIterator[str]:
    """A service of this workspace; gives host:port."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / name),
            env={**os.environ, **environ},
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield await _address(log, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _address(log: Path, process: asyncio.subprocess.Process) -> str:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.returncode is None:
        for line in (await asyncio.to_thread(log.read_text)).splitlines():
            if '"ready"' in line:
                ready = json.loads(line)
                return str(ready.get("address") or f"127.0.0.1:{ready['port']}")
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{log.stem} did not start:\n{(await asyncio.to_thread(log.read_text))[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

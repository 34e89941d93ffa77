"""Voice activity: what the detectors accept, how late, and what they cost. `python -m bench.voice_activity`.

Speech is the repository's recordings, sentences by the embedded voices, and what --speech names, human ones say.
Delays are to the first accepted frame and from the last frame with speech to the last accepted one, in audio time; a
negative one means that a quiet end was not taken for speech. Nothing is asserted.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.voice_signals import (
    FRAME,
    LEAD_S,
    RATE_HZ,
    RECORDINGS,
    Marks,
    Scene,
    Signal,
    noises,
    recorded,
    scene,
    spoken_by,
)
from voice_gateway.adapters.energy_gate import EnergyGate
from voice_gateway.adapters.silero_model import STATE_SIZE, SileroModel, installed_model, window_samples
from voice_gateway.adapters.silero_vad import MARGIN, QUIETEST_FLOOR, SileroVad
from voice_gateway.adapters.vad_scorer import scoring
from voice_gateway.adapters.webrtc_vad import WebRtcVad
from voice_gateway.application.ports import VoiceActivity

PAUSE_FRAMES = 15
"""300 ms without speech part two utterances; what is accepted so soon before one is its own beginning, a breath say."""

NEVER_MS = 9_999

SUSPENDED_MS = 0.3
"""A judgement that took longer waited for the thread."""

SETTLING_FRAMES = 60
"""A gate takes any noise for new in its first second."""


class Counts:
    """What the scorer counts."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.unscored = 0

    def vad_batch(self, frames: int) -> None:
        self.batches.append(frames)

    def vad_unscored(self, reason: str) -> None:  # noqa: ARG002 - the protocol's signature
        self.unscored += 1


class TimedModel:
    """The model, with the CPU that its runs take on the thread."""

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self.cpu_s = 0.0

    def run(
        self, windows: NDArray[np.float32], states: NDArray[np.float32], rate_hz: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        began = time.thread_time()
        answer = self._model.run(windows, states, rate_hz)
        self.cpu_s += time.thread_time() - began
        return answer


class AcceptAll:
    """What a call costs without a detector."""

    frame_samples = FRAME
    late_samples = 0
    steady = False

    async def is_speech(self, frame: bytes) -> bool:
        return bool(frame)


class SileroByTheBook:
    """The model alone, as its authors run it: every 32 ms without gaps, and no gate."""

    frame_samples = FRAME
    late_samples = 0
    steady = False

    def __init__(self, model: SileroModel, counts: Counts) -> None:
        self._model, self._counts = model, counts
        self._state = np.zeros((2, 1, STATE_SIZE), np.float32)
        self._samples = np.zeros(window_samples(RATE_HZ) - 512, np.float32)
        self._in_speech = False

    async def is_speech(self, frame: bytes) -> bool:
        self._samples = np.concatenate((self._samples, np.frombuffer(frame, "<i2").astype(np.float32) / 32_768))
        if self._samples.size >= window_samples(RATE_HZ):
            window = self._samples[np.newaxis, : window_samples(RATE_HZ)]
            scores, self._state = self._model.run(window, self._state, RATE_HZ)
            self._samples = self._samples[512:]
            self._counts.vad_batch(1)
            self._in_speech = bool(scores[0] >= (0.35 if self._in_speech else 0.5))
        return self._in_speech


# ---- what is accepted -----------------------------------------------------------------------------------------------


def frames_of(signal: Signal) -> list[bytes]:
    pcm = np.clip(np.round(signal * 32_768), -32_768, 32_767).astype("<i2")
    return [pcm[at : at + FRAME].tobytes() for at in range(0, pcm.size - FRAME + 1, FRAME)]


async def judged(detector: VoiceActivity, signal: Signal) -> Marks:
    return np.array([await detector.is_speech(frame) for frame in frames_of(signal)])


def utterances(spoken: Marks) -> list[tuple[int, int]]:
    """First and last frame of each."""
    places = np.flatnonzero(spoken)
    parts = np.split(places, np.flatnonzero(np.diff(places) > PAUSE_FRAMES) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]


def delays_ms(spoken: Marks, heard: Marks) -> tuple[list[int], list[int]]:
    """Of each utterance's start and end."""
    parts = utterances(spoken)
    starts, ends = [], []
    for (first, last), following in zip(parts, [*(start for start, _ in parts[1:]), spoken.size], strict=True):
        within = np.flatnonzero(heard[first : last + 1])
        starts.append(int(within[0]) * 20 if within.size else NEVER_MS)
        until = np.flatnonzero(heard[first : following - PAUSE_FRAMES])
        ends.append((int(until[-1]) + first - last) * 20 if until.size else NEVER_MS)
    return starts, ends


def pair(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:g} / {ordered[round(0.95 * (len(ordered) - 1))]:g}"


Maker = Callable[[], VoiceActivity]


def scenes_of(clips: dict[str, list[Signal]]) -> list[Scene]:
    made = []
    for name, signals in clips.items():
        whole = scene(name, signals)
        made += [whole.at(peak) for peak in (-6, -26, -46)]
        made += [whole.with_noise(kind, snr) for kind in ("white", "pink") for snr in (20, 10)]
    return made


async def acceptance(clips: dict[str, list[Signal]], detectors: dict[str, Maker], counts: Counts) -> None:
    print(
        "\n| speech | detector | speech accepted % | pauses accepted % | to the model % | start ms p50 / p95 "
        "| end ms p50 / p95 |"
    )
    print("|---|---|---|---|---|---|---|")
    for each in scenes_of(clips):
        for name, make in detectors.items():
            counts.batches.clear()
            heard = (await judged(make(), each.signal))[: each.spoken.size]
            starts, ends = delays_ms(each.spoken, heard)
            lead = int(LEAD_S * 50)
            shares = (
                heard[each.spoken].mean(),
                heard[lead:][~each.spoken[lead:]].mean(),
                sum(counts.batches) / heard.size,
            )
            cells = " | ".join(f"{100 * share:.1f}" for share in shares)
            print(f"| {each.name} | {name} | {cells} | {pair(starts)} | {pair(ends)} |")
    print("\n| not speech | " + " | ".join(f"{name}: accepted / to the model %" for name in detectors) + " |")
    print("|---" * (len(detectors) + 1) + "|")
    for kind, signal in noises(15, [clip / np.abs(clip).max() for clips_ in clips.values() for clip in clips_]):
        row = []
        for make in detectors.values():
            counts.batches.clear()
            heard = await judged(make(), signal)
            row.append(f"{100 * heard[SETTLING_FRAMES:].mean():.1f} / {100 * sum(counts.batches) / heard.size:.0f}")
        print(f"| {kind} | {' | '.join(row)} |")


# ---- what it costs --------------------------------------------------------------------------------------------------


async def hold(
    detector: VoiceActivity, frames: list[bytes], start_s: float, seconds: float, waits: list[float]
) -> None:
    """One call in real time: a frame each 20 ms, from a place in the conversation of its own."""
    loop = asyncio.get_running_loop()
    for number in range(int(seconds * 50)):
        await asyncio.sleep(start_s + number * 0.02 - loop.time())
        began = loop.time()
        await detector.is_speech(frames[number % len(frames)])
        waits.append((loop.time() - began) * 1000)


async def cost_of(make: Maker, conversation: Signal, calls: int, seconds: float) -> tuple[float, list[float]]:
    """CPU per call-second in us, all threads, and how long each judgement took in ms."""
    frames = frames_of(conversation)
    waits: list[float] = []
    start_s = asyncio.get_running_loop().time() + 0.2
    places = [len(frames) * call // calls for call in range(calls)]
    began = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for call, place in enumerate(places):
            # Packets of different calls arrive at different moments.
            lines = frames[place:] + frames[:place]
            tasks.create_task(hold(make(), lines, start_s + 0.02 * call / calls, seconds, waits), name=f"call-{call}")
    return (time.process_time() - began) / calls / seconds * 1e6, waits


def half_silent(clips: list[Signal]) -> Signal:
    """Speech for half of the time, -12 dBFS, in a room at -66 dBFS."""
    parts = []
    for clip in clips:
        parts += [clip / np.abs(clip).max() * 0.25, np.zeros(clip.size)]
    signal = np.concatenate(parts)
    return signal + np.random.default_rng(5).standard_normal(signal.size) * 0.0005


def gate_us(signal: Signal) -> float:
    """Wall time of the gate alone, a frame."""
    gate = EnergyGate(RATE_HZ, margin=MARGIN, quietest_floor=QUIETEST_FLOOR)
    frames = frames_of(signal)
    began = time.perf_counter()
    for frame in frames:
        gate.stands_out(gate.samples(frame))
    return (time.perf_counter() - began) / len(frames) * 1e6


async def costs(clips: list[Signal], model: SileroModel, calls: int, seconds: float) -> None:
    conversation = half_silent(clips)
    timed, counts = TimedModel(model), Counts()
    none, _ = await cost_of(AcceptAll, conversation, calls, seconds)
    webrtc, _ = await cost_of(lambda: WebRtcVad(RATE_HZ), conversation, calls, seconds)
    async with scoring(timed, counts) as scorer:
        total, waits = await cost_of(lambda: SileroVad(RATE_HZ, scorer), conversation, calls, seconds)
    scored = sum(counts.batches)
    neural = timed.cpu_s / calls / seconds * 1e6
    gate = gate_us(conversation) * 50
    print(f"\n{calls} calls in real time for {seconds:g} s, speech half of the time; CPU per call-second:")
    print(f"- webrtc: {webrtc - none:.0f} us, {(webrtc - none) * calls / 1e4:.1f} % of a core for all calls")
    print(f"- silero: {total - none:.0f} us, {(total - none) * calls / 1e4:.1f} % of a core for all calls")
    print(
        f"  - gate {gate:.0f} us, model {neural:.0f} us, windows, batches and hand-off "
        f"{total - none - gate - neural:.0f} us"
    )
    print(f"  - frames scored {100 * scored / (calls * seconds * 50):.1f} %, frames left to the gate {counts.unscored}")
    sizes = counts.batches or [0]
    print(
        f"  - batches {len(sizes) / seconds:.0f} a second, frames in one: mean {statistics.mean(sizes):.1f}, "
        f"p50 / p95 {pair(sizes)}, most {max(sizes)}"
    )
    delayed = [round(wait, 1) for wait in waits if wait > SUSPENDED_MS]
    print(
        f"  - frames that waited for a score {100 * len(delayed) / len(waits):.1f} %, for {pair(delayed or [0])} ms "
        "(p50 / p95)"
    )


async def measure(arguments: argparse.Namespace) -> None:
    clips = {"recordings": recorded(RECORDINGS)}
    for engine in arguments.engines.split(",") if arguments.engines else []:
        signals = await spoken_by(engine, voices=arguments.voices, sentences=arguments.sentences)
        if signals:
            clips[engine] = signals
    for folder in arguments.speech:
        clips[folder.name] = recorded(folder)
    model, counts = SileroModel(installed_model()), Counts()
    async with scoring(model, counts) as scorer:
        detectors: dict[str, Maker] = {
            "webrtc": lambda: WebRtcVad(RATE_HZ),
            "silero": lambda: SileroVad(RATE_HZ, scorer),
            "model alone": lambda: SileroByTheBook(model, counts),
        }
        if not arguments.only_cost:
            await acceptance(clips, detectors, counts)
    for calls in arguments.calls:
        await costs([clip for signals in clips.values() for clip in signals], model, calls, arguments.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.voice_activity", description=__doc__)
    parser.add_argument("--engines", default="espeak,flite", help="embedded voices, comma separated; may be empty")
    parser.add_argument("--voices", type=int, default=4, help="voices of each engine (default 4)")
    parser.add_argument("--sentences", type=int, default=4, help="sentences of each voice (default 4)")
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="folders of 16 kHz WAV files")
    parser.add_argument("--calls", type=int, nargs="*", default=[1, 10, 100], help="calls at once for the cost")
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement of cost")
    parser.add_argument("--only-cost", action="store_true", help="leave out the tables of what is accepted")
    asyncio.run(measure(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

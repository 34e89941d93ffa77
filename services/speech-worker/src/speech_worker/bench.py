"""Word error rate and latency of the embedded engines: `python -m speech_worker.bench`.

Each voice speaks sentences that no engine was tuned on; the recogniser hears them as a caller's stream, at 100 ms a
message. What is measured is the engines in this process's use of them, without gRPC.
"""

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from speech_worker.application.intake import AudioIntake
from speech_worker.application.ports import RECOGNITION_RATE_HZ, AsrEngine, Metrics, TtsEngine
from speech_worker.application.recognize import FRAME_SAMPLES, Recognition
from speech_worker.application.synthesize import Synthesis
from speech_worker.domain.audio import AudioFormat, Encoding
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.endpointing import Endpointer, EndpointingRule
from speech_worker.domain.errors import EngineUnusable
from speech_worker.domain.recognition import ResultOptions, ResultWriter
from speech_worker.engines.catalog import EngineOptions, asr_engine, tts_engine
from speech_worker.engines.vad_webrtc import WebrtcVoiceActivity

HELD_OUT = (
    "the library closes at eight on weekdays",
    "can you tell me how to get to the airport",
    "my brother works in a small hospital",
    "i forgot to bring my umbrella this morning",
    "the children are playing in the garden",
    "which bus goes to the city center",
    "we had dinner at a place near the river",
    "it takes about twenty minutes to walk there",
    "please send the report before the end of the week",
    "she has lived in this house for ten years",
    "how many people are coming to the party",
    "the price of oil went up again last month",
    "i would rather stay at home tonight",
    "there is something wrong with the front door",
    "he wants to learn how to play the piano",
    "what do you think about the new teacher",
    "turn left at the second traffic light",
    "the doctor told him to drink more water",
    "our flight was delayed because of the snow",
    "does this shirt come in a larger size",
    "they are building a bridge over the lake",
    "i have never been to south america",
    "the story was written a hundred years ago",
    "you can leave your bag under the table",
    "let me know when the package arrives",
    "most of the students passed the test",
    "the train to boston leaves in half an hour",
    "nobody knew the answer to that question",
    "we are looking for someone who speaks french",
    "the market opens early on saturday",
    "her sister bought a red car last summer",
    "the water in the pool is too cold",
    "keep the receipt in case you need it",
    "this road is closed for the winter",
    "my grandfather used to be a farmer",
    "i need a quiet room with two beds",
)
"""Written for this measurement and never used to choose a setting."""

CHUNK_BYTES = RECOGNITION_RATE_HZ // 10 * 2
TRAILING_SILENCE_MS = 400


class _NoMetrics:
    def asr_stream(self, *, opened: bool) -> None: ...

    def asr_final(self, *, latency_s: float) -> None: ...

    def asr_decoded(self, *, audio_s: float, took_s: float) -> None: ...

    def tts_stream(self, *, opened: bool) -> None: ...

    def tts_first_chunk(self, *, latency_s: float) -> None: ...

    def tts_done(self, *, audio_s: float, took_s: float, characters: int) -> None: ...

    def refused(self, *, service: str, reason: str) -> None: ...


_METRICS: Metrics = _NoMetrics()


@dataclass
class VoiceFigures:
    """One voice, all sentences. Times in ms."""

    voice: str
    errors: int = 0
    words: int = 0
    final_ms: list[float] = field(default_factory=list)
    first_audio_ms: list[float] = field(default_factory=list)
    asr_rtf: list[float] = field(default_factory=list)
    tts_rtf: list[float] = field(default_factory=list)

    @property
    def word_error_rate(self) -> float:
        return self.errors / max(1, self.words)


def word_errors(expected: Sequence[str], found: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions (Levenshtein over words)."""
    row = list(range(len(found) + 1))
    for i, want in enumerate(expected, start=1):
        diagonal, row[0] = row[0], i
        for j, got in enumerate(found, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (want != got))
    return row[-1]


async def hear(engine: AsrEngine, pcm: bytes) -> tuple[str, float, float]:
    """Text, ms from the last audio to the final by force_eou, and the real-time factor."""
    stream = await engine.open(language_code="en-US")
    try:
        recognition = Recognition(
            stream=stream,
            activity=WebrtcVoiceActivity(),
            endpointer=Endpointer(
                EndpointingRule(), frame_samples=FRAME_SAMPLES, sample_rate_hz=RECOGNITION_RATE_HZ,
                longest_utterance_ms=30_000,
            ),
            intake=AudioIntake(AudioFormat(Encoding.LINEAR_PCM, RECOGNITION_RATE_HZ)),
            writer=ResultWriter(ResultOptions(interim_results=True)),
            metrics=_METRICS,
        )  # fmt: skip
        began = perf_counter()
        results = []
        for start in range(0, len(pcm), CHUNK_BYTES):
            results += await recognition.audio(pcm[start : start + CHUNK_BYTES])
        ended = perf_counter()
        results += await recognition.end_utterance()
        final_ms = (perf_counter() - ended) * 1000
        text = "".join(result.transcript for result in results if result.is_final)
        return text, final_ms, (perf_counter() - began) / (len(pcm) / (2 * RECOGNITION_RATE_HZ))
    finally:
        await stream.close()


async def speak(synthesis: Synthesis, text: str, voice: Voice) -> tuple[bytes, float, float]:
    """s16le at 16 kHz, ms to the first audio, and the real-time factor."""
    began = perf_counter()
    first_ms = 0.0
    parts: list[bytes] = []
    async for chunk in synthesis.speak(text, voice, sample_rate_hz=RECOGNITION_RATE_HZ):
        if not parts:
            first_ms = (perf_counter() - began) * 1000
        parts.append(chunk.pcm)
    pcm = b"".join(parts)
    return pcm, first_ms, (perf_counter() - began) / max(0.001, len(pcm) / (2 * RECOGNITION_RATE_HZ))


async def measure(asr: AsrEngine, tts: TtsEngine, voice: Voice, sentences: Sequence[str]) -> VoiceFigures:
    synthesis = Synthesis(tts, _METRICS)
    await synthesis.calibrate(voice)
    figures = VoiceFigures(f"{tts.capabilities.name} {voice.id}")
    for sentence in sentences:
        pcm, first_ms, tts_rtf = await speak(synthesis, sentence, voice)
        text, final_ms, asr_rtf = await hear(asr, pcm + bytes(2 * RECOGNITION_RATE_HZ * TRAILING_SILENCE_MS // 1000))
        expected = sentence.split()
        figures.errors += word_errors(expected, text.split())
        figures.words += len(expected)
        figures.final_ms.append(final_ms)
        figures.first_audio_ms.append(first_ms)
        figures.asr_rtf.append(asr_rtf)
        figures.tts_rtf.append(tts_rtf)
    return figures


def table(rows: Sequence[VoiceFigures]) -> str:
    """Markdown; p50 / p95 where two numbers stand."""
    heads = (
        "voice", "sentences", "WER % (95 % interval)", "final after end of audio, ms", "ASR RTF",
        "TTS first audio, ms", "TTS RTF",
    )  # fmt: skip
    lines = [_row(heads), "|---" * len(heads) + "|"]
    for row in rows:
        low, high = _interval(row)
        rate = f"{100 * row.word_error_rate:.1f} ({low:.1f}-{high:.1f})"
        latencies = (_pair(row.final_ms, 1), _pair(row.asr_rtf, 3), _pair(row.first_audio_ms, 1), _pair(row.tts_rtf, 4))
        lines.append(_row((row.voice, str(len(row.final_ms)), rate, *latencies)))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pair(values: Sequence[float], digits: int) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"{statistics.median(ordered):.{digits}f} / {p95:.{digits}f}"


def _interval(row: VoiceFigures) -> tuple[float, float]:
    """Wilson interval of the error rate in percent, words taken as independent (they are not quite)."""
    n, p, z = max(1, row.words), min(1.0, row.word_error_rate), 1.96
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * ((p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5)
    return 100 * (centre - half), 100 * (centre + half)


async def run(
    asr_name: str, tts_names: Sequence[str], voices_each: int, sentences: Sequence[str]
) -> list[VoiceFigures]:
    rows: list[VoiceFigures] = []
    asr = asr_engine(asr_name, EngineOptions(max_streams=1))
    try:
        await asr.load()
        await asr.warm()
        for name in tts_names:
            tts = tts_engine(name, EngineOptions(max_streams=1))
            try:
                await tts.load()
                await tts.warm()
                english = [voice for voice in tts.capabilities.voices if voice.language_code == "en-US"]
                for voice in english[:voices_each]:
                    rows.append(await measure(asr, tts, voice, sentences))
            except EngineUnusable as error:
                print(f"{name}: not measured. {error}", file=sys.stderr)  # noqa: T201 - a benchmark prints
            finally:
                await tts.unload()
    finally:
        await asr.unload()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m speech_worker.bench", description=__doc__)
    parser.add_argument("--asr", default="pocketsphinx", help="recogniser (default pocketsphinx)")
    parser.add_argument("--tts", default="espeak,flite", help="voice engines, comma separated (default espeak,flite)")
    parser.add_argument("--voices", type=int, default=4, help="voices of each engine (default 4)")
    parser.add_argument("--sentences", type=int, default=len(HELD_OUT), help="how many of the held-out sentences")
    arguments = parser.parse_args()
    sentences = random.Random(1).sample(HELD_OUT, min(arguments.sentences, len(HELD_OUT)))  # noqa: S311 - a fixed choice
    rows = asyncio.run(run(arguments.asr, arguments.tts.split(","), arguments.voices, sentences))
    print(table(rows))  # noqa: T201 - a benchmark prints
    return 0


if __name__ == "__main__":
    sys.exit(main())

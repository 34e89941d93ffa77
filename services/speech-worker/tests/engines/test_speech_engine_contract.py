"""What every engine promises, asked of each: engines are exchanged by a name in the settings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from speech_harness import question, silence, spoken
from speech_small_vits import make_small_vits
from speech_small_whisper import make_small_whisper

from speech_worker.application.pcm import to_float
from speech_worker.application.ports import AsrEngine, TtsEngine
from speech_worker.domain.errors import EngineUnusable, WorkerFull
from speech_worker.engines.catalog import ASR_ENGINES, TTS_ENGINES, EngineOptions, asr_engine, tts_engine
from speech_worker.engines.flite import flite_engine

pytestmark = pytest.mark.speech

MAX_STREAMS = 2
SPEECH = question("what-time-is-it")
# flite comes from the system, so it is asked where it is and its refusal is asked where it is not.
TTS_EVERYWHERE = sorted(TTS_ENGINES.keys() - {"auto", "flite"})


@pytest.fixture(params=sorted(ASR_ENGINES.keys() - {"auto"}))
async def asr(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsrEngine]:
    folder = None
    if request.param == "faster-whisper":
        make_small_whisper(tmp_path)
        folder = tmp_path
    engine = asr_engine(request.param, EngineOptions(max_streams=MAX_STREAMS, model_dir=folder, threads=1))
    try:
        await engine.load()
        await engine.warm()
        yield engine
    finally:
        await engine.unload()


async def test_a_stream_hears_utterance_after_utterance(asr: AsrEngine) -> None:
    assert asr.capabilities.max_streams == MAX_STREAMS
    assert asr.capabilities.languages
    assert asr.capabilities.label
    stream = await asr.open(language_code="en-US")
    try:
        assert (await stream.finish()).text == ""
        for _ in range(2):
            for start in range(0, len(SPEECH), 3_200):
                await stream.accept(SPEECH[start : start + 3_200])
            final = await stream.finish()
            assert final.text
            assert 0.0 <= final.confidence <= 1.0
            length_ms = len(SPEECH) // 32
            assert all(0 <= word.start_ms <= word.end_ms <= length_ms + 50 for word in final.words)
        assert (await stream.finish()).text == ""
    finally:
        await stream.close()


async def test_a_full_engine_refuses_at_once_and_a_closed_stream_makes_room(asr: AsrEngine) -> None:
    streams = [await asr.open(language_code="en-US") for _ in range(MAX_STREAMS)]
    with pytest.raises(WorkerFull, match=f"All {MAX_STREAMS} recognition streams of this worker are in use."):
        await asr.open(language_code="en-US")
    await streams[0].close()
    await streams[0].close()
    again = await asr.open(language_code="en-US")
    for stream in (again, *streams[1:]):
        await stream.close()


async def test_streams_run_side_by_side_and_do_not_mix(asr: AsrEngine) -> None:
    async def hear(pcm: bytes) -> str:
        stream = await asr.open(language_code="en-US")
        try:
            for start in range(0, len(pcm), 3_200):
                await stream.accept(pcm[start : start + 3_200])
            return (await stream.finish()).text
        finally:
            await stream.close()

    alone = await hear(SPEECH)
    other = SPEECH + silence(600)
    together = await asyncio.gather(hear(SPEECH), hear(other))
    assert together[0] == alone


@pytest.fixture(params=TTS_EVERYWHERE)
async def tts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TtsEngine]:
    folder = None
    if request.param == "sherpa":
        make_small_vits(tmp_path)
        folder = tmp_path
    engine = tts_engine(request.param, EngineOptions(max_streams=MAX_STREAMS, model_dir=folder, threads=1))
    try:
        await engine.load()
        await engine.warm()
        yield engine
    finally:
        await engine.unload()


async def check_voice_engine(engine: TtsEngine) -> None:
    """Audio, words inside it, any number of texts side by side, and a stop in the middle."""
    capabilities = engine.capabilities
    assert capabilities.default_voice in capabilities.voices
    text = "hello there my friend"
    chunks = [chunk async for chunk in engine.synthesize(text, capabilities.default_voice)]
    pcm = b"".join(chunk.pcm for chunk in chunks)
    length_ms = len(pcm) * 1000 // (2 * capabilities.sample_rate_hz)
    assert 400 < length_ms < 10_000
    assert abs(to_float(pcm)).max() > 0.01
    words = [word for chunk in chunks for word in chunk.words]
    assert [word.text for word in words] in ([], text.split())
    assert all(0 <= word.start_ms <= word.end_ms <= length_ms + 50 for word in words)
    several = await asyncio.gather(*(spoken(engine, text) for _ in range(MAX_STREAMS)))
    assert [len(other) for other in several] == [len(pcm)] * MAX_STREAMS
    for _ in range(2 * MAX_STREAMS):
        async with aclosing(engine.synthesize("one two three. " * 40, capabilities.default_voice)) as stream:
            assert (await anext(stream)).pcm
    assert len(await spoken(engine, text)) == len(pcm)


async def test_a_voice_engine_speaks_stops_and_speaks_again(tts: TtsEngine) -> None:
    await check_voice_engine(tts)


async def test_flite_speaks_where_its_library_is_and_says_what_to_do_where_it_is_not() -> None:
    engine = flite_engine(max_streams=MAX_STREAMS)
    try:
        await engine.load()
    except EngineUnusable as error:
        assert str(error) == (  # noqa: PT017 - which of the two holds depends on the machine
            "The voice engine flite is not on this machine: install its library (Debian and Ubuntu: apt-get install "
            "libflite1), or choose another SPEECH_TTS_ENGINE."
        )
    else:
        await check_voice_engine(engine)
    finally:
        await engine.unload()


@pytest.mark.parametrize(
    ("kind", "folder", "sentence"),
    [
        ("faster-whisper", None, "faster-whisper needs a model. Set SPEECH_ASR_MODEL_DIR"),
        ("faster-whisper", "missing", "model.bin, config.json is not there. Set SPEECH_ASR_MODEL_DIR"),
        ("faster-whisper", "damaged", "cannot be loaded"),
        ("pocketsphinx", "missing", "a PocketSphinx model folder holds an acoustic model"),
        ("sherpa", None, "sherpa needs a voice. Set SPEECH_TTS_MODEL_DIR"),
        ("sherpa", "missing", "tokens.txt is not there. Set SPEECH_TTS_MODEL_DIR"),
        ("sherpa", "damaged", "cannot be loaded"),
    ],
)
async def test_a_model_that_is_not_there_is_refused_with_what_to_do(
    kind: str, folder: str | None, sentence: str, tmp_path: Path
) -> None:
    if folder == "damaged":
        (make_small_vits if kind == "sherpa" else make_small_whisper)(tmp_path)
        (tmp_path / ("model.onnx" if kind == "sherpa" else "model.bin")).write_bytes(b"damaged")
    model_dir = None if folder is None else tmp_path if folder == "damaged" else tmp_path / "nothing"
    options = EngineOptions(max_streams=1, model_dir=model_dir, threads=1)
    engine = tts_engine(kind, options) if kind == "sherpa" else asr_engine(kind, options)
    try:
        with pytest.raises(EngineUnusable) as refused:
            await engine.load()
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)
    finally:
        await engine.unload()

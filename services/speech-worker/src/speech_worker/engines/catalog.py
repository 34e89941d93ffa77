"""Engines by name. Heavy packages are imported inside the factories."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from speech_worker.application.ports import AsrEngine, TtsEngine
from speech_worker.domain.errors import EngineUnusable

T = TypeVar("T")


@dataclass(frozen=True)
class EngineOptions:
    """What a factory may need. `model` is a name that a hub knows; `model_dir` a folder with the files."""

    max_streams: int
    model_dir: Path | None = None
    model: str = ""
    language_code: str = "en-US"
    threads: int = 2


def _pocketsphinx(options: EngineOptions) -> AsrEngine:
    from speech_worker.engines.pocketsphinx import PocketsphinxEngine  # noqa: PLC0415

    return PocketsphinxEngine(max_streams=options.max_streams, model_dir=options.model_dir)


def _script(options: EngineOptions) -> AsrEngine:
    from speech_worker.engines.scripted import ScriptedAsrEngine  # noqa: PLC0415

    return ScriptedAsrEngine(max_streams=options.max_streams)


def _espeak(options: EngineOptions) -> TtsEngine:
    from speech_worker.engines.espeak import espeak_engine  # noqa: PLC0415

    return espeak_engine(max_streams=options.max_streams)


def _flite(options: EngineOptions) -> TtsEngine:
    from speech_worker.engines.flite import flite_engine  # noqa: PLC0415

    return flite_engine(max_streams=options.max_streams)


def _whisper(options: EngineOptions) -> AsrEngine:
    from speech_worker.engines.whisper import WhisperEngine  # noqa: PLC0415

    return WhisperEngine(
        max_streams=options.max_streams,
        model_dir=options.model_dir,
        model=options.model,
        language_code=options.language_code,
        threads=options.threads,
    )


def _sherpa(options: EngineOptions) -> TtsEngine:
    from speech_worker.engines.sherpa import SherpaEngine  # noqa: PLC0415

    return SherpaEngine(max_streams=options.max_streams, model_dir=options.model_dir, threads=options.threads)


def _auto_tts(options: EngineOptions) -> TtsEngine:
    from speech_worker.engines.flite import installed  # noqa: PLC0415

    return (_flite if installed() else _espeak)(options)


def _tone(_options: EngineOptions) -> TtsEngine:
    from speech_worker.engines.scripted import ToneTtsEngine  # noqa: PLC0415

    return ToneTtsEngine()


ASR_ENGINES: Final[dict[str, Callable[[EngineOptions], AsrEngine]]] = {
    "auto": _pocketsphinx,  # needs nothing but its wheel
    "pocketsphinx": _pocketsphinx,
    "faster-whisper": _whisper,
    "script": _script,
}
TTS_ENGINES: Final[dict[str, Callable[[EngineOptions], TtsEngine]]] = {
    "auto": _auto_tts,  # the permissive one where it is installed
    "flite": _flite,
    "espeak": _espeak,
    "sherpa": _sherpa,
    "tone": _tone,
}


def asr_engine(name: str, options: EngineOptions) -> AsrEngine:
    """Raises EngineUnusable for a name that is not known."""
    return _found(ASR_ENGINES, name, "SPEECH_ASR_ENGINE")(options)


def tts_engine(name: str, options: EngineOptions) -> TtsEngine:
    """Raises EngineUnusable for a name that is not known."""
    return _found(TTS_ENGINES, name, "SPEECH_TTS_ENGINE")(options)


def _found(engines: dict[str, T], name: str, key: str) -> T:
    if name not in engines:
        raise EngineUnusable(f"{key} is {name!r}: allowed is none, {', '.join(engines)}.")
    return engines[name]

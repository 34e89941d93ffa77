"""Synthesis by flite (CMU, a BSD-like licence), from the system's libflite; Debian: apt-get install libflite1.

The library is loaded in an engine process: a crash of it ends one request, and its long calls block nobody.
"""

import ctypes
import ctypes.util
import json
from typing import Any, Final

from speech_worker.application.ports import TtsCapabilities
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.errors import EngineUnusable
from speech_worker.engines import wire
from speech_worker.engines.child import ChildSpec
from speech_worker.engines.child_tts import ChildTtsEngine

RATE_HZ: Final = 16_000
# The first is the default: the one that recognisers hear best (4 % word errors; slt, a female voice, 12 %).
VOICES: Final = ("rms", "slt", "awb", "kal16")
_LIBRARY: Final = "libflite.so.1"


def installed() -> bool:
    """Whether the library and at least one voice can be found. Nothing is loaded into this process for good."""
    return ctypes.util.find_library("flite") is not None


def flite_engine(*, max_streams: int) -> ChildTtsEngine:
    return ChildTtsEngine(ChildSpec(__name__, {}, max_streams), _capabilities)


def _capabilities(info: dict[str, Any]) -> TtsCapabilities:
    voices = tuple(Voice(name, "en-US", name) for name in info["voices"])
    return TtsCapabilities("flite", "flite: small unit-selection and statistical voices", voices, voices[0], RATE_HZ)


# ------------------------------------------------------- in the engine process

_STREAM_CONTINUE: Final = 0
_STREAM_STOP: Final = -1
_STREAM_SAMPLES: Final = 1_600  # 100 ms: what flite gathers before it calls back


class _Wave(ctypes.Structure):
    """cst_wave of cst_wave.h."""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Voice(ctypes.Structure):
    """The beginning of cst_voice of cst_voice.h."""

    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


class _StreamingInfo(ctypes.Structure):
    """cst_audio_streaming_info of cst_audio.h; the library makes it, we set the callback."""


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(_Wave), ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.POINTER(_StreamingInfo)
)
_StreamingInfo._fields_ = (  # the callback's type names the structure
    ("min_buffsize", ctypes.c_int),
    ("callback", _Callback),
    ("utterance", ctypes.c_void_p),
    ("item", ctypes.c_void_p),
    ("userdata", ctypes.c_void_p),
)


class _Flite:
    """The library with the types of what is called."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY, mode=ctypes.RTLD_GLOBAL)
        for name in ("libflite_cmulex.so.1", "libflite_usenglish.so.1"):
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        library.new_audio_streaming_info.restype = ctypes.POINTER(_StreamingInfo)
        library.audio_streaming_info_val.argtypes = [ctypes.POINTER(_StreamingInfo)]
        library.audio_streaming_info_val.restype = ctypes.c_void_p
        library.feat_set.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        library.flite_text_to_wave.argtypes = [ctypes.c_char_p, ctypes.POINTER(_Voice)]
        library.flite_text_to_wave.restype = ctypes.POINTER(_Wave)
        library.delete_wave.argtypes = [ctypes.POINTER(_Wave)]
        library.flite_init()
        self.library = library
        self.voices: dict[str, Any] = {}
        for name in VOICES:
            voice = _voice(name)
            if voice is not None:
                self.voices[name] = voice


def _voice(name: str) -> Any | None:
    try:
        library = ctypes.CDLL(f"libflite_cmu_us_{name}.so.1")
        register = getattr(library, f"register_cmu_us_{name}")
    except (OSError, AttributeError):
        return None
    register.argtypes = [ctypes.c_char_p]
    register.restype = ctypes.POINTER(_Voice)
    return register(None) or None


def prepare(_config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load the library and its voices; called once in the process that the copies are made from."""
    try:
        flite = _Flite()
    except OSError as error:
        raise EngineUnusable(
            "The voice engine flite is not on this machine: install its library (Debian and Ubuntu: apt-get install "
            "libflite1), or choose another SPEECH_TTS_ENGINE."
        ) from error
    if not flite.voices:
        raise EngineUnusable(f"flite has none of the voices {', '.join(VOICES)}: install the package with its voices.")
    return flite, {"voices": list(flite.voices)}


def serve(flite: _Flite, connection: wire.Connection) -> None:
    """Speak texts one after the other until the worker leaves. A frame that arrives in between is a CANCEL."""
    library = flite.library

    def receive(wave: Any, start: int, size: int, _last: int, _info: Any) -> int:
        if connection.waiting():
            return _STREAM_STOP
        if size > 0:
            address = ctypes.addressof(wave.contents.samples.contents) + 2 * start
            connection.send(wire.AUDIO, ctypes.string_at(address, 2 * size))
        return _STREAM_CONTINUE

    callback = _Callback(receive)
    ready: set[str] = set()
    while True:
        kind, payload = connection.receive()
        if kind != wire.SPEAK:
            continue  # a CANCEL that crossed the end
        request = json.loads(payload)
        voice = flite.voices[request["voice"]]
        if request["voice"] not in ready:
            info = library.new_audio_streaming_info()
            info.contents.min_buffsize = _STREAM_SAMPLES
            info.contents.callback = callback
            library.feat_set(voice.contents.features, b"streaming_info", library.audio_streaming_info_val(info))
            ready.add(request["voice"])
        wave = library.flite_text_to_wave(request["text"].encode(), voice)
        if wave:
            library.delete_wave(wave)
        connection.send(wire.END)

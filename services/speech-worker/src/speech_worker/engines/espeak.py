"""Synthesis by espeak-ng, from the package espeakng-loader. GPL-3.0-or-later, so an optional extra.

The library is loaded in an engine process only; this process talks to it over a socket.
"""

import ctypes
import json
import re
from typing import Any, Final

from speech_worker.application.ports import TtsCapabilities
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.errors import EngineUnusable
from speech_worker.domain.words import estimate_words, spoken_words
from speech_worker.engines import wire
from speech_worker.engines.child import ChildSpec
from speech_worker.engines.child_tts import ChildTtsEngine

# The Klatt variants are what recognisers understand: 12-17 % word errors against 43 % for the plain voice.
VARIANTS: Final = ("klatt5", "klatt4", "klatt3", "klatt6")
_WORDS_PER_MINUTE: Final = 175  # of the rates tried, the one heard best
_LANGUAGE_CODES: Final = {"en": "en-GB", "es": "es-ES", "pt": "pt-PT", "zh": "zh-CN", "fr": "fr-FR", "vi": "vi-VN"}


def espeak_engine(*, max_streams: int) -> ChildTtsEngine:
    return ChildTtsEngine(ChildSpec(__name__, {}, max_streams), _capabilities)


def _capabilities(info: dict[str, Any]) -> TtsCapabilities:
    voices = tuple(
        Voice(f"{identifier}+{variant}", language_code(identifier), variant)
        for identifier in info["voices"]
        for variant in VARIANTS
    )
    default = next((voice for voice in voices if voice.id == "en-us+klatt5"), voices[0])
    return TtsCapabilities(
        name="espeak",
        label="espeak-ng: formant synthesis, robotic but clear (GPL, in a process of its own)",
        voices=tuple(sorted(voices, key=lambda voice: voice.language_code != "en-US")),
        default_voice=default,
        sample_rate_hz=info["sample_rate_hz"],
    )


def language_code(identifier: str) -> str:
    """espeak-ng's name of a language (en-us, de, pt-br) as a BCP 47 code with a region: de-DE."""
    if identifier in _LANGUAGE_CODES:
        return _LANGUAGE_CODES[identifier]
    language, _, region = identifier.partition("-")
    return f"{language}-{(region or language).upper()}"


# ------------------------------------------------------- in the engine process

_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2  # speak_lib.h: espeak_Synth calls back and returns when all is done
_BUFFER_MS: Final = 50
_INITIALIZE_DONT_EXIT: Final = 0x8000
_CHARS_UTF8: Final = 1
_POS_CHARACTER: Final = 1
_RATE: Final = 1
_VOLUME: Final = 2
_VOLUME_PERCENT: Final = 60  # at its default of 100 the library clips Klatt voices; the level is set later anyway
_EVENT_END_OF_LIST: Final = 0
_EVENT_WORD: Final = 1
_OK: Final = 0


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # from 1, in characters
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _VoiceRecord(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p))


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def prepare(_config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load the library and list its voices; called once in the process that the copies are made from."""
    try:
        import espeakng_loader  # noqa: PLC0415 - only this process loads it
    except ImportError as error:
        raise EngineUnusable(
            "The voice engine espeak is not installed: install speech-worker[espeak] (GPL), or choose another "
            "SPEECH_TTS_ENGINE."
        ) from error
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
    rate_hz = library.espeak_Initialize(
        _AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, str(espeakng_loader.get_data_path()).encode(), _INITIALIZE_DONT_EXIT
    )
    if rate_hz <= 0:
        raise EngineUnusable("espeak-ng does not start: its data files are missing or damaged. Install it again.")
    return library, {"sample_rate_hz": rate_hz, "voices": _languages(library)}


def _languages(library: Any) -> list[str]:
    """Languages that a Klatt variant can be put on. `languages` of a record starts with one priority byte."""
    found = []
    records = library.espeak_ListVoices(None)
    index = 0
    while records[index]:
        name = ctypes.string_at(records[index].contents.languages + 1).decode()
        if not name.startswith(("variant", "mb")):
            found.append(name)
        index += 1
    return sorted(set(found))


class _Track:
    """Follows the words of one text. A word's end is known when the next one starts.

    The library reports some pairs ("on the") as one word and some words ("2.50") as several. Words in between share
    the time by their letters.
    """

    def __init__(self, text: str) -> None:
        self._tokens = [match for match in re.finditer(r"\S+", text) if spoken_words(match.group())]
        self._next = 0  # first token whose time is not told
        self._current = 0  # token that is spoken now
        self._since_ms = 0

    def started(self, position: int, at_ms: int) -> list[list[Any]]:
        """`position` is that of a character, from 1. Returns what has ended, as [word, start_ms, end_ms]."""
        token = self._current
        while token + 1 < len(self._tokens) and self._tokens[token + 1].start() < position:
            token += 1
        if token == self._current:
            return []
        self._current = token
        return self._told(token, at_ms)

    def ended(self, at_ms: int) -> list[list[Any]]:
        return self._told(len(self._tokens), at_ms)

    def _told(self, until: int, at_ms: int) -> list[list[Any]]:
        text = " ".join(match.group() for match in self._tokens[self._next : until])
        words = estimate_words(text, start_ms=self._since_ms, end_ms=max(self._since_ms, at_ms))
        self._next, self._since_ms = until, max(self._since_ms, at_ms)
        return [[word.text, word.start_ms, word.end_ms] for word in words]


def serve(library: Any, connection: wire.Connection) -> None:
    """Speak texts one after the other until the worker leaves. A frame that arrives in between is a CANCEL."""
    rate_hz = library.espeak_ng_GetSampleRate()
    voice = ""
    while True:
        kind, payload = connection.receive()
        if kind != wire.SPEAK:
            continue  # a CANCEL that crossed the end
        request = json.loads(payload)
        if request["voice"] != voice:
            voice = _choose(library, request["voice"])
        library.espeak_SetParameter(_RATE, _WORDS_PER_MINUTE, 0)
        library.espeak_SetParameter(_VOLUME, _VOLUME_PERCENT, 0)
        _speak(library, connection, request["text"], rate_hz)


def _choose(library: Any, voice: str) -> str:
    """Region and variant do not always go together: en-gb+klatt4 is refused, en+klatt4 works."""
    identifier, _, variant = voice.partition("+")
    for name in (voice, f"{identifier.split('-')[0]}+{variant}", identifier):
        if library.espeak_SetVoiceByName(name.encode()) == _OK:
            return voice
    return ""


def _speak(library: Any, connection: wire.Connection, text: str, rate_hz: int) -> None:
    track = _Track(text)
    samples_sent = 0

    def receive(wav: Any, count: int, events: Any) -> int:
        nonlocal samples_sent
        if connection.waiting():
            return 1  # stop
        words: list[list[Any]] = []
        index = 0
        while events[index].type != _EVENT_END_OF_LIST:
            event = events[index]
            if event.type == _EVENT_WORD:
                words += track.started(event.text_position, event.audio_position_ms)
            index += 1
        if words:
            connection.send_json(wire.WORDS, words)
        if count > 0 and wav:
            connection.send(wire.AUDIO, ctypes.string_at(wav, count * 2))
            samples_sent += count
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
    last = track.ended(samples_sent * 1000 // rate_hz)
    if last:
        connection.send_json(wire.WORDS, last)
    connection.send(wire.END)

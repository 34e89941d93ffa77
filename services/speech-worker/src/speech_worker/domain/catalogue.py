"""Models and voices that are served, and which of them a request means."""

from dataclasses import dataclass

from speech_worker.domain.errors import unavailable_model


@dataclass(frozen=True)
class Voice:
    """`id` is the engine's own name; `language_code` like en-US; `subvoice` is the last part of Riva's voice name."""

    id: str
    language_code: str
    subvoice: str


def same_language(asked: str, served: str) -> bool:
    """Riva compares languages without their region; an empty one means any."""
    return not asked or asked.lower().replace("_", "-").split("-")[0] == served.lower().split("-")[0]


def choose_model(
    names: tuple[str, ...],
    languages: tuple[str, ...],
    *,
    model: str,
    language_code: str,
    sample_rate_hz: int,
    kind: str,
) -> None:
    """Raise UnavailableModel unless the request is about one of `names` in one of `languages`."""
    if (model and model not in names) or not any(same_language(language_code, served) for served in languages):
        raise unavailable_model(
            language_code=language_code or languages[0], sample_rate_hz=sample_rate_hz, kind=kind, model=model
        )


def model_name(engine: str, language_code: str) -> str:
    return f"{engine}-{language_code}"


def choose_voice(
    engine: str, voices: tuple[Voice, ...], *, default: Voice, name: str, language_code: str, sample_rate_hz: int
) -> Voice:
    """The voice that a request means.

    A name may be full (espeak-en-US.klatt5), a model's (espeak-en-US), a subvoice (klatt5) or the engine's own id.
    An exact language wins over one that differs in its region only. Raises UnavailableModel.
    """
    fitting = [voice for voice in voices if same_language(language_code, voice.language_code)]
    fitting.sort(key=lambda voice: (voice.language_code.lower() != language_code.lower(), voice.id != default.id))
    wanted = name.lower()
    for voice in fitting:
        model = model_name(engine, voice.language_code).lower()
        if not wanted or wanted in (
            f"{model}.{voice.subvoice}".lower(),
            model,
            voice.subvoice.lower(),
            voice.id.lower(),
        ):
            return voice
    raise unavailable_model(
        language_code=language_code or default.language_code, sample_rate_hz=sample_rate_hz, kind="tts", voice=name
    )

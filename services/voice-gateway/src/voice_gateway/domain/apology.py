"""What a caller is told when something fails, in the caller's language.

A setting holds one text, or several with the language before each: "Sorry. | de: Entschuldigung." A text without a
language is in the language that the gateway is configured to speak.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from voice_gateway.domain.errors import BackendKind

OFF = "off"
"""Stands for no text where a source of settings cannot hold an empty value, as the environment cannot."""

MAX_CHARACTERS = 200
"""One phrase of synthesis."""

SEPARATOR = "|"

_TAGGED = re.compile(r"([A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*):\s+(.*)", re.DOTALL)

BUILT_IN: dict[BackendKind, dict[str, str]] = {
    "llm": {
        "en": "Sorry, I have no answer just now. Please ask me again.",
        "de": "Entschuldigung, ich habe gerade keine Antwort. Bitte fragen Sie noch einmal.",
        "es": "Lo siento, ahora mismo no tengo respuesta. Por favor, pregunte de nuevo.",
        "fr": "Désolé, je n'ai pas de réponse pour le moment. Veuillez reposer votre question.",
        "hi": "माफ़ कीजिए, अभी मेरे पास जवाब नहीं है। कृपया फिर से पूछिए।",
        "it": "Mi dispiace, al momento non ho una risposta. Per favore, chieda di nuovo.",
        "pt": "Desculpe, não tenho resposta neste momento. Por favor, pergunte de novo.",
    },
    "asr": {
        "en": "Sorry, I did not catch that. Please say it again.",
        "de": "Entschuldigung, das habe ich nicht verstanden. Bitte sagen Sie es noch einmal.",
        "es": "Lo siento, no le he entendido. Por favor, dígalo otra vez.",
        "fr": "Désolé, je n'ai pas compris. Veuillez répéter.",
        "hi": "माफ़ कीजिए, मैं समझ नहीं पाया। कृपया फिर से कहिए।",
        "it": "Mi dispiace, non ho capito. Per favore, lo ripeta.",
        "pt": "Desculpe, não entendi. Por favor, repita.",
    },
    "tts": {
        "en": "Sorry, I cannot speak my answer at the moment. Please try again.",
        "de": "Entschuldigung, ich kann meine Antwort gerade nicht sprechen. Bitte versuchen Sie es noch einmal.",
        "es": "Lo siento, ahora mismo no puedo decir mi respuesta. Por favor, inténtelo de nuevo.",
        "fr": "Désolé, je ne peux pas prononcer ma réponse pour le moment. Veuillez réessayer.",
        "hi": "माफ़ कीजिए, मैं अभी अपना जवाब बोल नहीं पा रहा हूँ। कृपया फिर से कोशिश कीजिए।",
        "it": "Mi dispiace, al momento non riesco a dire la risposta. Per favore, riprovi.",
        "pt": "Desculpe, não consigo falar a resposta neste momento. Por favor, tente de novo.",
    },
}
"""By the first part of the language tag. These stand wherever a setting says nothing else for a language."""


@dataclass(frozen=True, slots=True)
class ApologyConfig:
    """What is said when a backend fails; each text as a setting holds it."""

    llm: str = BUILT_IN["llm"]["en"]
    asr: str = BUILT_IN["asr"]["en"]
    tts: str = BUILT_IN["tts"]["en"]
    earcon: bool = True
    """Whether a short tone is played where no text can be."""

    def text(self, kind: BackendKind, language_code: str, *, configured_language: str) -> str:
        """What is said in `language_code`; empty where there is nothing to say. A setting's own text for the language
        goes before the built-in one, and a full tag before its first part.
        """
        said = {"llm": self.llm, "asr": self.asr, "tts": self.tts}[kind]
        if not (plain_and_tagged := texts(said)):
            return ""
        wanted, main = language_code.lower(), _main(language_code)
        for tag in (wanted, main):
            if tag in plain_and_tagged:
                return plain_and_tagged[tag]
        plain = plain_and_tagged.get("", "")
        own = plain and plain != BUILT_IN[kind]["en"] and main == _main(configured_language)
        return plain if own else BUILT_IN[kind].get(main, "")


@lru_cache(maxsize=64)
def texts(setting: str) -> dict[str, str]:
    """The texts of a setting by language in lower case, "" for the one without; empty for "" and "off"."""
    found: dict[str, str] = {}
    for part in setting.split(SEPARATOR):
        text = part.strip()
        if not text or text.lower() == OFF:
            continue
        tagged = _TAGGED.fullmatch(text)
        found[tagged[1].lower() if tagged else ""] = (tagged[2] if tagged else text).strip()
    return found


def _main(language_code: str) -> str:
    return language_code.lower().partition("-")[0]

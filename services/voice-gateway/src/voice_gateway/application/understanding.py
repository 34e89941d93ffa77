"""What the machine is told of the words that a caller says: features, computed here, where the words are."""

from collections.abc import Callable
from dataclasses import replace

from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.echo import EchoMatch, compare
from voice_gateway.domain.events import AsrEnded, AsrResult, Event
from voice_gateway.domain.languages import PhraseLists, language_of
from voice_gateway.domain.text_features import TextFeatures, features_of, in_context

CONTEXT_CHARACTERS = 120
"""Of what was said before a result that it is read with: more than a card number, in words."""

ECHO_TAIL_MS = 3_000
"""How long after an answer its echo may still be recognised: a client's buffer, a room, a recogniser that is late."""

ECHO_AHEAD_MS = 500
"""What is heard from the loudspeaker may be ahead of what is known to be played."""


class Understanding:
    """Reads one caller's words."""

    def __init__(
        self,
        state: Callable[[], CallState],
        *,
        language_code: str,
        lists: PhraseLists,
        salt: str,
        heard_samples: Callable[[], int],
        sounds_like_echo: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._state = state
        self._salt = salt
        self._heard_samples = heard_samples
        self._sounds_like_echo = sounds_like_echo
        self._now_ms = now_ms
        self.retune(language_code, lists)

    def retune(self, language_code: str, lists: PhraseLists) -> None:
        """Read another language from now on, or with other lists of phrases."""
        self._language = language_of(language_code)
        self._lists = lists

    def features(self, text: str, *, final: bool = True) -> TextFeatures:
        """What is known of a text without keeping it."""
        return features_of(text, self._language, final=final, salt=self._salt, lists=self._lists)

    def read(self, event: Event) -> Event:
        """`event`, with what its words mean, if it has any."""
        if isinstance(event, AsrEnded):
            return replace(event, heard_samples=self._heard_samples())
        if not isinstance(event, AsrResult):
            return event
        heard = self._heard_samples()
        if not event.text:
            return replace(event, heard_samples=heard)
        features = self.features(event.text, final=event.final)
        if before := self._state().said_before(event.utterance):
            before = before[-CONTEXT_CHARACTERS:]
            features = in_context(features, self.features(f"{before} {event.text}", final=event.final))
        if played := self._recently_played(heard):
            features = self._guarded(features, compare(event.text, played, self._language))
        if not features.stop:
            features = replace(features, echo=max(features.echo, self._echo_of_the_sound(event.utterance)))
        return replace(event, features=features, heard_samples=heard)

    def _guarded(self, features: TextFeatures, match: EchoMatch) -> TextFeatures:
        """`features` of what may be an echo, unless the caller spoke over it to stop the answer."""
        if match.rest and self.features(match.rest).stop:
            return replace(features, stop=True)
        return replace(features, echo=match.similarity)

    def _echo_of_the_sound(self, utterance: int) -> float:
        """Recognisers mishear an echo, so words that are not those that are played prove nothing while the sound is the
        one that is. A caller who speaks over the echo changes the sound.
        """
        state = self._state()
        speech = state.find_utterance(utterance)
        if state.reply is None or speech is None or not speech.like_played:
            return 0.0
        likeness = self._sounds_like_echo()
        return likeness if likeness >= state.policy.interruption.echo_sound else 0.0

    def _recently_played(self, heard: int) -> str:
        state = self._state()
        if state.reply is not None:
            ahead = ECHO_AHEAD_MS * state.opened.output_sample_rate_hz // 1000
            return state.reply.ledger.heard_text(heard + ahead) if state.reply.audible else ""
        recent = self._now_ms() - state.learned.answered_ms < ECHO_TAIL_MS
        return state.learned.last_answer if recent else ""

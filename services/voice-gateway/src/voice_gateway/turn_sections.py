"""Sections of the settings tree about turn-taking: when a turn ends, what interrupts, what is said unasked."""

from dataclasses import fields

from pydantic import field_validator
from pydantic_settings import BaseSettings

from voice_gateway.domain.endpointing import EndpointPolicy
from voice_gateway.domain.languages import PhraseLists
from voice_gateway.domain.phrases import PhrasePolicy
from voice_gateway.domain.policy import ConversationPolicy, InterruptionPolicy, SpeculationPolicy, TurnPolicy
from voice_gateway.setting_sections import Section, setting

_TURN, _PHRASES = TurnPolicy(), PhrasePolicy()
_ENDPOINT, _INTERRUPTION = EndpointPolicy(), InterruptionPolicy()
_SPECULATION, _CONVERSATION = SpeculationPolicy(), ConversationPolicy()

MAX_SPOKEN_CHARACTERS = 1_000

PHRASES = "phrases, separated by commas"


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase for part in text.split(",") if (phrase := part.strip()))


class TurnSettings(Section):
    """Whose turn it is."""

    endpoint_silence_ms: int = setting(
        _TURN.endpoint_silence_ms, unit="ms", alias="ENDPOINT_SILENCE_MS", ge=200, le=5_000
    )
    """Silence that ends the caller's turn. NVIDIA's own agents use 400 to 500."""
    onset_ms: int = setting(_TURN.onset_ms, unit="ms", ge=20, le=1_000)
    """Speech that makes a tentative start, and ducks an answer."""
    confirm_ms: int = setting(_TURN.confirm_ms, unit="ms", ge=40, le=2_000)
    """Speech that confirms the start, and stops an answer."""
    misfire_ms: int = setting(_TURN.misfire_ms, unit="ms", ge=40, le=2_000)
    """Silence that takes a tentative start back."""
    soft_end_ms: int = setting(_TURN.soft_end_ms, unit="ms", ge=20, le=2_000)
    """Silence after which the caller may be done: audio is sent on at once, and a final result is believed."""
    final_timeout_ms: int = setting(_TURN.final_timeout_ms, unit="ms", ge=100, le=10_000)
    """Longest wait for the final transcript once it was asked for; then the last interim one stands."""
    force_eou_patience_ms: int = setting(_TURN.force_eou_patience_ms, unit="ms", ge=50, le=5_000)
    """Longest wait for the answer to force_eou before the server counts as one that ignores it."""
    interruptible: bool = setting(_TURN.interruptible)
    """Whether speech over an answer stops it."""
    duck_db: float = setting(_TURN.duck_db, unit="dB", ge=-60, le=0)
    """Loudness of the answer while speech over it is tentative."""


class EndpointSettings(Section):
    """How much silence ends the caller's turn, by what was said. ENDPOINT_SILENCE_MS is for everything else."""

    complete_ms: int = setting(_ENDPOINT.complete_ms, unit="ms", ge=120, le=5_000)
    """After a whole sentence, or a short answer to a question. Pipecat asks its turn model after 200 ms."""
    trailing_ms: int = setting(_ENDPOINT.trailing_ms, unit="ms", ge=120, le=5_000)
    """After "and", "the", "um" and their like: people seldom hesitate for more than a second without a sound."""
    digits_ms: int = setting(_ENDPOINT.digits_ms, unit="ms", ge=120, le=5_000)
    """Within a number that is read out. People breathe between its groups."""
    digits_asked_ms: int = setting(_ENDPOINT.digits_asked_ms, unit="ms", ge=120, le=5_000)
    """The same, where the assistant asked for a number and it is still shorter than usual."""
    digits_enough_ms: int = setting(_ENDPOINT.digits_enough_ms, unit="ms", ge=120, le=5_000)
    """After a number with as many digits as a telephone number (10, 11) or a payment card (16)."""
    spelling_ms: int = setting(_ENDPOINT.spelling_ms, unit="ms", ge=120, le=5_000)
    """Within a word that is spelled."""
    email_ms: int = setting(_ENDPOINT.email_ms, unit="ms", ge=120, le=5_000)
    """Within an e-mail or web address."""
    yes_no_ms: int = setting(_ENDPOINT.yes_no_ms, unit="ms", ge=120, le=5_000)
    """After a short answer to a yes-or-no question."""
    min_ms: int = setting(_ENDPOINT.min_ms, unit="ms", ge=120, le=5_000)
    """Shortest silence, whatever the caller's pace."""
    max_ms: int = setting(_ENDPOINT.max_ms, unit="ms", ge=120, le=10_000)
    """Longest silence, whatever the caller's pace. 3 s is the longest that LiveKit waits."""
    pace_weight: float = setting(_ENDPOINT.pace_weight, ge=0, le=2)
    """How far the caller's own pauses change the silences above: 0 not at all, 1 in full."""
    turn_model_threshold: float = setting(_ENDPOINT.turn_model_threshold, ge=0, le=1)
    """Probability from which an end-of-turn model's "complete" is believed."""


class InterruptionSettings(Section):
    """What stops an answer for good, once speech over it has paused it."""

    commit_ms: int = setting(_INTERRUPTION.commit_ms, unit="ms", ge=100, le=10_000)
    """Speech of this length stops an answer, whatever is recognised. The longest "yeah yeah, right" takes 600 ms."""
    doubtful_commit_ms: int = setting(_INTERRUPTION.doubtful_commit_ms, unit="ms", ge=100, le=20_000)
    """The same while all that is recognised are backchannels, or the answer's own echo."""
    resume_after_ms: int = setting(_INTERRUPTION.resume_after_ms, unit="ms", ge=100, le=10_000)
    """A paused answer goes on this long after the caller fell silent, or as soon as the recogniser heard no words."""
    min_words: int = setting(_INTERRUPTION.min_words, ge=1, le=10)
    """Words that stop an answer, beside those that always or never do."""
    echo_similarity: float = setting(_INTERRUPTION.echo_similarity, ge=0, le=1)
    """What is recognised counts as an echo of the answer from this similarity on; 1 is nearly off."""
    echo_sound: float = setting(_INTERRUPTION.echo_sound, ge=0, le=1)
    """From this likeness on to what is played, a sound does not pause the answer before words tell; 1 is off."""
    always: str = setting("", allowed=PHRASES)
    """Phrases that stop an answer at once, beside the language's own ("stop", "wait", ...)."""
    never: str = setting("", allowed=PHRASES)
    """Phrases that never stop an answer, beside the language's own ("mhm", "okay", ...)."""
    repeat_phrases: str = setting("", allowed=PHRASES)
    """Phrases that ask for the last answer again, beside the language's own ("say that again", ...)."""
    replace_lists: bool = setting(False)
    """Whether these lists take the place of the language's own instead of adding to them."""

    def policy(self) -> InterruptionPolicy:
        """The numbers."""
        return InterruptionPolicy(**{field.name: getattr(self, field.name) for field in fields(InterruptionPolicy)})

    def lists(self) -> PhraseLists:
        """The phrases."""
        return PhraseLists(
            never=_phrases(self.never),
            always=_phrases(self.always),
            repeat=_phrases(self.repeat_phrases),
            replace=self.replace_lists,
        )


class SpeculationSettings(Section):
    """Answers begun before the caller's turn is known to be over. Nothing of them is heard or sent before it is."""

    enabled: bool = setting(_SPECULATION.enabled)
    """Whether answers are begun early. Takes 150 to 400 ms off each answer, and costs some requests in vain."""
    min_hit_rate: float = setting(_SPECULATION.min_hit_rate, ge=0, le=1)
    """Below this share of early answers that are used, a call begins them only now and then."""
    probe_every: int = setting(_SPECULATION.probe_every, unit="turns", ge=1, le=100)
    """How often "now and then" is."""
    max_revisions: int = setting(_SPECULATION.max_revisions, ge=1, le=10)
    """Answers begun for one turn at most."""


class ConversationSettings(Section):
    """What is said without being asked. Empty: nothing."""

    greeting: str = setting(_CONVERSATION.greeting, private=True, max_length=MAX_SPOKEN_CHARACTERS)
    """Spoken when a call begins."""
    reprompt: str = setting(_CONVERSATION.reprompt, private=True, max_length=MAX_SPOKEN_CHARACTERS)
    """Spoken when the caller says nothing."""
    reprompt_after_ms: int = setting(_CONVERSATION.reprompt_after_ms, unit="ms", ge=1_000, le=600_000)
    """How long the caller says nothing before that. People take up to 10 s to look something up."""
    max_reprompts: int = setting(_CONVERSATION.max_reprompts, ge=1, le=20)
    """How often in a row."""
    farewell: str = setting(_CONVERSATION.farewell, private=True, max_length=MAX_SPOKEN_CHARACTERS)
    """Spoken before a call is ended for its length."""
    farewell_ms: int = setting(_CONVERSATION.farewell_ms, unit="ms", ge=1_000, le=120_000)
    """How long before MAX_CALL_SECONDS the call is brought to its end, at the next turn boundary."""
    repeat: bool = setting(_CONVERSATION.repeat)
    """Whether "say that again" repeats the last answer without asking the language model."""
    apologise: bool = setting(_CONVERSATION.apologise)
    """Whether the caller is told in speech when nothing could be recognised because the recogniser failed."""
    key_pause_ms: int = setting(_CONVERSATION.key_pause_ms, unit="ms", ge=200, le=20_000)
    """Keys pressed within this time of each other are one turn; "#" ends it at once."""

    @field_validator("greeting", "reprompt", "farewell")
    @classmethod
    def _trimmed(cls, value: str) -> str:
        return value.strip()


class PhraseSettings(Section):
    """How an answer is cut into phrases."""

    first_min_characters: int = setting(_PHRASES.first_min_characters, unit="characters", ge=1, le=200)
    """The first phrase may end at a comma from this length on. 12 are some 0.8 s of speech: time to make the second."""
    first_max_characters: int = setting(_PHRASES.first_max_characters, unit="characters", ge=10, le=200)
    """The first phrase is cut at a word when nothing ended it before."""
    min_characters: int = setting(_PHRASES.min_characters, unit="characters", ge=1, le=200)
    """Later phrases may end at a comma from this length on; sentences end at any length."""
    max_characters: int = setting(_PHRASES.max_characters, unit="characters", ge=20, le=200)
    """Longest phrase. NVIDIA's clients split at 200 characters, and Riva refuses much longer requests."""


class TurnTakingSettings(BaseSettings):
    """The part of the tree that is about turn-taking."""

    turn: TurnSettings = TurnSettings()
    endpoint: EndpointSettings = EndpointSettings()
    interruption: InterruptionSettings = InterruptionSettings()
    speculation: SpeculationSettings = SpeculationSettings()
    conversation: ConversationSettings = ConversationSettings()
    phrase: PhraseSettings = PhraseSettings()

"""When a pause ends the caller's turn: rules over the features of the text, the question asked and the caller's own
pace."""

from dataclasses import dataclass, replace

from voice_gateway.domain.text_features import Ending, Expectation, TextFeatures

PACE_MEMORY = 0.8
"""Weight of what is known of the caller's pauses against a new one. LiveKit's dynamic endpointing has 0.9
(voice/endpointing.py); a call has a few dozen pauses, so a little less memory follows the caller sooner."""

CUT_IN_MEMORY = 0.5
"""The same after we cut in: one such mistake weighs as much as several pauses."""

USUAL_PAUSE_MS = 350.0
"""Pause inside a turn, bridged at the usual waits, of a caller with scale 1. Between the soft end (120) and the
endpoint silence (500): pauses that were bridged are by nature shorter than the wait."""

PACE_TRUST = 3.0
"""Pauses after which the caller's own pace counts half."""

CUT_IN_STEP = 0.25
"""What one cut-in adds to the scale, beside the pause itself."""

MIN_SCALE, MAX_SCALE = 0.7, 1.8
MAX_PAUSE_MS = 5_000
"""Longer pauses are silence between turns."""


@dataclass(frozen=True, slots=True)
class CallerPace:
    """How long this caller pauses inside of turns."""

    pause_ms: float = USUAL_PAUSE_MS
    """Exponential average of the pauses that the caller bridged."""
    weight: float = 0.0
    """Pauses seen; a cut-in counts for three."""
    cut_ins: float = 0.0
    """Times we ended a turn too early, forgotten by a fifth with every turn that we did not."""

    def after_pause(self, pause_ms: float) -> "CallerPace":
        """The caller paused for so long and went on with the same turn."""
        return self._with(pause_ms, PACE_MEMORY, 1.0)

    def after_cut_in(self, pause_ms: float) -> "CallerPace":
        """We ended the turn, and the caller went on within about a second, after a pause of so long in all."""
        seen = self._with(pause_ms, CUT_IN_MEMORY, PACE_TRUST)
        return replace(seen, cut_ins=min(4.0, self.cut_ins + 1.0))

    def after_turn(self) -> "CallerPace":
        """A turn ended and the caller let it."""
        return replace(self, cut_ins=self.cut_ins * 0.8 if self.cut_ins > 0.05 else 0.0)

    @property
    def scale(self) -> float:
        """Factor for the waits, 0.7 to 1.8; 1.0 for a caller of whom nothing is known."""
        trust = self.weight / (self.weight + PACE_TRUST)
        wanted = 1.0 + trust * (self.pause_ms / USUAL_PAUSE_MS - 1.0) + CUT_IN_STEP * self.cut_ins
        return min(MAX_SCALE, max(MIN_SCALE, wanted))

    def _with(self, pause_ms: float, memory: float, weight: float) -> "CallerPace":
        if not pause_ms > 0:
            return self
        pause_ms = min(pause_ms, MAX_PAUSE_MS)
        return replace(
            self, pause_ms=memory * self.pause_ms + (1.0 - memory) * pause_ms, weight=min(1_000.0, self.weight + weight)
        )


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Silence that ends the turn, in ms, by what was said."""

    complete_ms: int = 250
    """A whole sentence. Pipecat asks its turn model after 200, LiveKit's streaming detector waits 300."""
    neutral_ms: int = 500
    """Nothing speaks for or against an end; NVIDIA's agents and LiveKit wait 400 to 500."""
    trailing_ms: int = 1_200
    """More was to come. HF's speech-to-speech waits up to 2,000 where its model says "incomplete", LiveKit 2,500 to
    3,000; people seldom hesitate for more than a second without a filler."""
    digits_ms: int = 1_500
    """Numbers are read in groups, with a breath, or a look at a card, between them. LiveKit's users ask for it
    (agents/issues/3701)."""
    digits_asked_ms: int = 2_000
    """The assistant asked for a number and it is shorter than usual."""
    digits_enough_ms: int = 500
    """The number has as many digits as one of `enough_digits`."""
    enough_digits: tuple[int, ...] = (10, 11, 16)
    """Telephone numbers without and with the country's digit, and payment cards. More than the last is enough, too."""
    spelling_ms: int = 1_500
    email_ms: int = 1_500
    yes_no_ms: int = 250
    """A short answer to a yes/no question."""
    min_ms: int = 200
    """Under it, the closure of a plosive and the end of a turn look alike; pipecat's VAD stops at 200."""
    max_ms: int = 3_000
    """LiveKit's longest wait."""
    pace_weight: float = 1.0
    """How far the caller's own pauses change the waits: 0 not at all, 1 in full."""
    turn_model_threshold: float = 0.5
    """Probability from which a turn model's "complete" is believed; pipecat's default for Smart Turn."""


@dataclass(frozen=True, slots=True)
class EndpointChoice:
    """How long to wait, and the rule that says so."""

    silence_ms: int
    rule: str
    """"complete", "neutral", "trailing", "digits", "digits_enough", "spelling", "email", "yes_no", "no_text",
    "model_complete" or "model_incomplete"."""


SHORT_ANSWER_WORDS = 4
_ASKED_FOR_MORE = frozenset({Expectation.NUMBER, Expectation.SPELLED, Expectation.EMAIL})


def silence_for(
    features: TextFeatures | None,
    expected: Expectation,
    pace: CallerPace,
    policy: EndpointPolicy,
    turn_complete: float | None = None,
) -> EndpointChoice:
    """Silence after which the turn ends, given what was heard so far.

    `turn_complete` is a turn model's probability that the caller is done, where there is one. It decides where the
    words do not: it shortens a neutral wait or stretches a neutral, complete or wordless one, and never touches
    numbers, spelling and addresses."""
    rule, silence_ms = _by_text(features, expected, policy)
    if turn_complete is not None:
        if turn_complete >= policy.turn_model_threshold:
            if rule == "neutral":
                rule, silence_ms = "model_complete", min(silence_ms, policy.complete_ms)
        elif rule in {"neutral", "complete", "no_text"}:
            rule, silence_ms = "model_incomplete", max(silence_ms, policy.trailing_ms)
    scaled = silence_ms * (1.0 + policy.pace_weight * (pace.scale - 1.0))
    return EndpointChoice(round(min(policy.max_ms, max(policy.min_ms, scaled))), rule)


def _by_text(features: TextFeatures | None, expected: Expectation, policy: EndpointPolicy) -> tuple[str, int]:
    if features is None or not features.words:
        return "no_text", policy.neutral_ms
    entity = _by_entity(features, expected, policy)
    if entity is not None:
        return entity
    if features.ending is Ending.TRAILING:
        return "trailing", policy.trailing_ms
    if expected in _ASKED_FOR_MORE and features.backchannel:
        # "Sure." is no telephone number yet.
        return "trailing", policy.trailing_ms
    if features.ending is Ending.COMPLETE:
        if expected is Expectation.YES_NO and features.words <= SHORT_ANSWER_WORDS:
            return "yes_no", policy.yes_no_ms
        return "complete", policy.complete_ms
    return "neutral", policy.neutral_ms


def _by_entity(features: TextFeatures, expected: Expectation, policy: EndpointPolicy) -> tuple[str, int] | None:
    """The wait for a number, a spelling or an address in progress; None where there is none."""
    ending = features.ending
    undecided = ending is Ending.NEUTRAL
    if ending is Ending.DIGITS or (undecided and features.digits and expected is Expectation.NUMBER):
        if features.digits in policy.enough_digits or features.digits > max(policy.enough_digits, default=0) > 0:
            return "digits_enough", policy.digits_enough_ms
        return "digits", policy.digits_asked_ms if expected is Expectation.NUMBER else policy.digits_ms
    if ending is Ending.SPELLING or (undecided and features.digits and expected is Expectation.SPELLED):
        return "spelling", policy.spelling_ms
    if ending is Ending.EMAIL or (undecided and expected is Expectation.EMAIL):
        return "email", policy.email_ms
    return None

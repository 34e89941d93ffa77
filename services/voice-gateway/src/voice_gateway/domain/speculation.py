"""Whether an answer may be begun before the caller's turn is known to be over: a budget by what came of it so far.

An answer begun early and adopted saves the endpoint's silence; one that is thrown away costs a request to the language
model and its first phrase's synthesis. Both averages forget, so that a call that became hesitant stops guessing, and
tries again now and then.
"""

from dataclasses import dataclass, replace

from voice_gateway.domain.policy import SpeculationPolicy

MEMORY = 0.8
"""Weight of the past at each outcome: the last five count for two thirds."""


LAG_MEMORY = 0.8
"""Weight of what is known of the recogniser's lag against a shorter one; a longer one counts at once."""

LONGEST_LAG_MS = 800.0
"""Riva's throughput profile decodes in chunks of 800 ms; what comes later than that is no lag but an illness."""


@dataclass(frozen=True, slots=True)
class RecogniserLag:
    """How long after the end of speech the recogniser's words are all there: it shows a word some 100 to 300 ms after
    it was said. An answer begun before that lacks the last word, and is thrown away.
    """

    ms: float = 0.0

    def after_turn(self, lag_ms: float) -> "RecogniserLag":
        """The text of a turn was all there so long after the end of its speech."""
        lag_ms = min(LONGEST_LAG_MS, max(0.0, lag_ms))
        return RecogniserLag(max(lag_ms, LAG_MEMORY * self.ms + (1 - LAG_MEMORY) * lag_ms))


@dataclass(frozen=True, slots=True)
class SpeculationBudget:
    """One call's account."""

    hit_rate: float = 1.0
    """Average of adopted (1) and wasted (0). A new call is trusted: one miss leaves it at 0.8."""
    turns_since_try: int = 0
    revisions: int = 0
    """Answers begun for the turn that the caller is making."""
    started: int = 0
    adopted: int = 0
    wasted: int = 0
    wasted_characters: int = 0

    def allows(self, policy: SpeculationPolicy) -> bool:
        """Whether one more answer may be begun for this turn."""
        if not policy.enabled or self.revisions >= policy.max_revisions:
            return False
        return (
            self.hit_rate >= policy.min_hit_rate or self.revisions > 0 or self.turns_since_try >= policy.probe_every - 1
        )

    def begun(self) -> "SpeculationBudget":
        """An answer was begun."""
        return replace(self, revisions=self.revisions + 1, started=self.started + 1)

    def kept(self) -> "SpeculationBudget":
        """It was adopted."""
        return replace(self, hit_rate=MEMORY * self.hit_rate + (1 - MEMORY), adopted=self.adopted + 1)

    def lost(self, characters: int) -> "SpeculationBudget":
        """It was thrown away, with `characters` of text already cut into phrases."""
        return replace(
            self,
            hit_rate=MEMORY * self.hit_rate,
            wasted=self.wasted + 1,
            wasted_characters=self.wasted_characters + characters,
        )

    def turn_over(self) -> "SpeculationBudget":
        """The caller's turn is over."""
        return replace(self, turns_since_try=0 if self.revisions else self.turns_since_try + 1, revisions=0)

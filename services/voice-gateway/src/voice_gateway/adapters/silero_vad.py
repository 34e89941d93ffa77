"""Voice activity by a cascade: the energy gate, and behind it the Silero model for what stands out.

- What the gate calls silence is silence at once, where the caller is far louder than the room (`CLEAR`): so the end of
  speech is seen within a frame, and not after the 130 ms that the model's score takes to fall. In noise the gate loses
  every fourth frame of speech; there the model decides, down to its own end.
- Frames are 20 ms, and the model looks at the last 32 ms every second frame; every fourth while it is sure of speech
  and the gate would see the end; every frame where speech in noise may be ending, which is then seen 100 ms sooner. Its
  own step, 32 ms without gaps, costs twice as much and decides no better.
- The model goes on for `TAIL_FRAMES` after the last sound and then rests with its state as it is. A state reset at each
  start of speech loses a quarter of very quiet speech and finds its start 400 ms later; one that never saw the pause
  takes the next noise for speech.
- A score is waited for where this frame hangs on it; else it is taken up at the next frame. What is decided depends on
  the audio alone, not on how fast the thread is.
- The model is sure of speech some 30 to 140 ms after anybody hears it begin. Frames just before that stood out in the
  gate are told as speech then (`late_samples`): a start of speech is counted from where it was, not from where the
  model was sure.
- Quiet speech is made louder first: below -40 dBFS the model begins to miss it.

Figures of this detector and of its alternatives: `python -m bench.voice_activity`, docs/adr/0009.
"""

import asyncio
from collections import deque
from itertools import takewhile

import numpy as np

from voice_gateway.adapters.energy_gate import S16, EnergyGate, power_ratio
from voice_gateway.adapters.silero_model import STATE_SIZE, window_samples
from voice_gateway.adapters.vad_scorer import Scored, VadScorer

ENTER_SCORE = 0.5
LEAVE_SCORE = 0.35
"""Silero's own iterator enters at 0.5 and leaves 0.15 below."""

MARGIN = power_ratio(4.5)
"""Half as many frames of speech in noise are lost as at the 6.5 dB that a gate alone needs; at 3 dB, white noise would
keep the model busy all the time."""

ALONE_MARGIN = power_ratio(6.5)
"""Where no score comes. Frames of stationary noise reach about 5 dB above the quietest of 50."""

QUIETEST_FLOOR = power_ratio(-94)
"""The rounding noise of 16 bit samples lies at -95 dB in the band: the model, not the gate, judges what is so quiet."""

CLEAR = power_ratio(28)
"""Loudness of speech over the floor from which the gate sees its ends well."""

TAIL_FRAMES = 8
"""160 ms: the model's score has then fallen. Half of it leaves stray frames of speech in later noise; twice as much
costs a tenth more."""

LATE_FRAMES = 4
"""80 ms: of the six recorded beginnings in `python -m bench.barge_in`, four are known within 40 ms, one after 100 and
one after 140. More would make speech of the noise before it."""

ALSO_SPEECH = power_ratio(-20)
"""Of the first frame that is known as speech: what was quieter is breath, or the room."""

STEP_FRAMES = 2
SURE_STEP_FRAMES = 4
SURE_SCORE = 0.9


class SileroVad:
    """Judges the frames of one call."""

    def __init__(
        self,
        sample_rate_hz: int,
        scorer: VadScorer,
        *,
        enter_score: float = ENTER_SCORE,
        leave_score: float = LEAVE_SCORE,
    ) -> None:
        """Speech begins at `enter_score` and ends below `leave_score`. Raises `ValueError` for other rates than 8, 16,
        32 and 48 kHz.
        """
        self._gate = EnergyGate(sample_rate_hz, margin=MARGIN, quietest_floor=QUIETEST_FLOOR)
        self.frame_samples = self._gate.frame_samples
        self._scorer = scorer
        self._enter_score = enter_score
        self._leave_score = leave_score
        self._window_bytes = 2 * window_samples(self._gate.judged_hz)
        self._recent = (b"", bytes(self._window_bytes), b"")
        """The last frames, 16 bit at the gate's judged rate."""
        self._state = np.zeros((2, STATE_SIZE), np.float32)
        self._score: float | None = 0.0
        """None where the last one did not come."""
        self._unscored_frames = STEP_FRAMES
        """Frames since the model was last asked."""
        self._asked: asyncio.Future[Scored | None] | None = None
        self._quiet_frames = TAIL_FRAMES
        """Frames since the last one that may have been speech."""
        self._in_speech = False
        self._rising: deque[float] = deque(maxlen=LATE_FRAMES)
        """Energies of the frames in a row that stood out while it was not known to be speech."""
        self.late_samples = 0

    @property
    def steady(self) -> bool:
        """See `VoiceActivity`."""
        return self._gate.steady

    async def is_speech(self, frame: bytes) -> bool:
        """Judge one frame of `frame_samples` samples, 16 bit. Returns without suspending where the gate or an earlier
        score decides. Raises `ValueError` for another length.
        """
        gate = self._gate
        samples = gate.samples(frame)
        was_speech, self.late_samples = self._in_speech, 0
        if self._asked is not None:
            await self._take()
        loud = gate.stands_out(samples)
        _, older, old = self._recent
        self._recent = (older, old, frame if samples.dtype == S16 else samples.astype(S16).tobytes())
        self._unscored_frames += 1
        if not loud and self._quiet_frames >= TAIL_FRAMES:
            # Silence goes on.
            self._in_speech = False
            return False
        clear = gate.loudness > gate.floor * CLEAR
        self._quiet_frames = 0 if loud or (self._in_speech and not clear) else self._quiet_frames + 1
        sure = loud and clear and self._score is not None and self._score > SURE_SCORE
        ending = self._in_speech and not loud and not clear
        if self._unscored_frames >= (SURE_STEP_FRAMES if sure else 1 if ending else STEP_FRAMES):
            self._unscored_frames = 0
            self._asked = self._scorer.ask(self._window(), gate.gain, gate.judged_hz, self._state, id(self))
            if self._asked is None or not (sure or (clear and not loud)):
                await self._take()
        if self._score is None:
            return gate.energy >= gate.floor * ALONE_MARGIN
        if self._in_speech and (loud or not clear):
            if not was_speech:
                self.late_samples = self._late_frames() * self.frame_samples
            self._rising.clear()
            return True
        if loud:
            self._rising.append(gate.energy)
        else:
            self._rising.clear()
        return False

    def _window(self) -> bytes:
        return b"".join(self._recent)[-self._window_bytes :]

    def _late_frames(self) -> int:
        """How many frames before this one, which begins speech, were nearly as loud."""
        least = self._gate.energy * ALSO_SPEECH
        return len(list(takewhile(lambda energy: energy >= least, reversed(self._rising))))

    async def _take(self) -> None:
        """Take up the answer to what was asked last."""
        asked, self._asked = self._asked, None
        scored = None if asked is None else await asked
        if scored is None:
            self._score, self._in_speech = None, False
            return
        self._score, self._state = scored.score, scored.state
        self._in_speech = scored.score >= (self._leave_score if self._in_speech else self._enter_score)

"""Voice activity: WebRTC's detector and a gate on energy above the noise floor."""

import math
from typing import Final

import numpy as np

from speech_worker.application.ports import RECOGNITION_RATE_HZ

# 0 lets most through, 3 least. 2 hears 93 % of human speech frames and lets go about 0.13 s after its end.
_AGGRESSIVENESS: Final = 2
# The detector alone calls hum and hiss speech; real speech stands out of the floor.
_ABOVE_FLOOR_DB: Final = 8.0
_SILENCE_DBFS: Final = -65.0
_LOUDEST_FLOOR_DBFS: Final = -30.0  # the floor of a noisy room; louder is speech from the first frame on
_FLOOR_RISE_DB: Final = 0.03  # per 20 ms frame, 1.5 dB a second: slower than a sentence, faster than a conversation
_FLOOR_FALL: Final = 0.3  # share of the distance per frame


class WebrtcVoiceActivity:
    def __init__(self) -> None:
        import webrtcvad  # noqa: PLC0415 - a compiled module that only a recognising worker needs

        self._vad = webrtcvad.Vad(_AGGRESSIVENESS)
        self._floor_dbfs = -50.0

    def speech(self, frame: bytes) -> bool:
        samples = np.frombuffer(frame, dtype="<i2").astype(np.float32)
        power = float(np.dot(samples, samples)) / max(1, len(samples))
        level_dbfs = 10 * math.log10(power / 2**30 + 1e-12)
        self._follow(level_dbfs)
        if level_dbfs < max(_SILENCE_DBFS, self._floor_dbfs + _ABOVE_FLOOR_DB):
            return False
        return bool(self._vad.is_speech(frame, RECOGNITION_RATE_HZ))

    def _follow(self, level_dbfs: float) -> None:
        if level_dbfs < self._floor_dbfs:
            self._floor_dbfs += _FLOOR_FALL * (max(level_dbfs, _SILENCE_DBFS - _ABOVE_FLOOR_DB) - self._floor_dbfs)
        else:
            self._floor_dbfs = min(_LOUDEST_FLOOR_DBFS, self._floor_dbfs + _FLOOR_RISE_DB)

"""The Silero VAD model (MIT): where its ONNX file lies, whether it is one, and a run over frames of many calls.

The file comes out of the `silero-vad` wheel, which is never imported: its package needs torch. The wheel's other files
differ: the `.safetensors` hold other weights, and only `silero_vad.onnx` knows both 8 and 16 kHz. Each frame is given
with the samples before it as context; without them scores are wrong.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voice_gateway.adapters.onnx_models import ModelUnusable, open_session, told

KEY = "VAD_MODEL_PATH"

PACKAGE = "silero_vad"
FILE = Path("data") / "silero_vad.onnx"

FRAME_MS = 32
CONTEXT_MS = 4
STATE_SIZE = 128

INPUTS = {"input", "sr", "state"}
TRIAL = 3
"""Frames run on loading: a model exported for one frame at a time fails here, and not in a call."""


def window_samples(rate_hz: int) -> int:
    """Samples of one frame with its context: 576 at 16 kHz, 288 at 8 kHz."""
    return rate_hz * (FRAME_MS + CONTEXT_MS) // 1000


def installed_model() -> Path:
    """The file in the wheel. Raises `ModelUnusable` where the wheel is not installed."""
    spec = find_spec(PACKAGE)
    file = Path(spec.origin).parent / FILE if spec is not None and spec.origin else None
    if file is None or not file.is_file():
        raise ModelUnusable(
            f"VAD_ENGINE is silero and {KEY} is empty, but the package silero-vad with its model is not installed; "
            f"allowed is to install it, to name an ONNX file in {KEY}, or VAD_ENGINE=webrtc"
        )
    return file


class SileroModel:
    """Weights in memory. `run` blocks for about 35 us a frame, 80 us when there is only one."""

    def __init__(self, file: Path) -> None:
        """Load and check. Raises `ModelUnusable`."""
        self._session = open_session(file, KEY)
        found = {each.name for each in self._session.get_inputs()}
        if found != INPUTS or len(self._session.get_outputs()) != 2:
            raise ModelUnusable(
                f"{KEY} is {file}, whose inputs are {', '.join(sorted(found)) or 'none'}; allowed is a Silero VAD "
                "model of version 5 or 6, whose inputs are input, sr and state"
            )
        windows = np.zeros((TRIAL, window_samples(16_000)), np.float32)
        states = np.zeros((2, TRIAL, STATE_SIZE), np.float32)
        try:
            scores, after = self.run(windows, states, 16_000)
        except Exception as error:
            raise ModelUnusable(
                f"{KEY} is {file}, which does not run on several frames at once; allowed is a Silero VAD model of "
                f"version 5 or 6 ({told(error)})"
            ) from error
        if scores.shape != (TRIAL,) or after.shape != states.shape:
            raise ModelUnusable(
                f"{KEY} is {file}, whose answers have shapes {scores.shape} and {after.shape}; allowed is a Silero VAD "
                "model of version 5 or 6"
            )

    def run(
        self, windows: NDArray[np.float32], states: NDArray[np.float32], rate_hz: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,) of windows (N, `window_samples(rate_hz)`), samples from -1 to 1, and the states (2, N, 128)
        after them. `rate_hz` is 8000 or 16000.
        """
        feed = {"input": windows, "state": states, "sr": np.array(rate_hz, np.int64)}
        scores, after = self._session.run(None, feed)
        return scores.reshape(len(scores)), after

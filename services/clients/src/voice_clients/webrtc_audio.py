"""WebRTC's audio processing (echo canceller AEC3, noise suppression, high-pass), as the package livekit carries it.

An optional part of this package, `voice-clients[duplex]`: its library has 28 MB, and its import takes 0.8 s. Nothing
here touches a network. Why this library: docs/adr/0010-echo-cancellation.md.
"""

from enum import Enum
from importlib.util import find_spec

from voice_clients.echo import FRAME_MS, MAX_DELAY_MS, Cleaner, takes_rate
from voice_clients.errors import BadInputError

NOT_INSTALLED = (
    "Echo cancellation and noise suppression are not installed here: install voice-clients[duplex], "
    "or use headphones or --push-to-talk."
)


class EchoCancellation(Enum):
    """AUTO is ON where the library is installed and there is a loudspeaker to cancel."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"


def is_installed() -> bool:
    """Whether the library is there; it is not loaded for that."""
    try:
        return find_spec("livekit.rtc") is not None
    except ModuleNotFoundError:
        return False


class WebRtcAudio:
    """An EchoCanceller. It costs about 12 ms of one core for a second of sound (`python -m bench.echo`)."""

    def __init__(
        self, *, microphone_hz: int, loudspeaker_hz: int, echo_cancellation: bool, noise_suppression: bool
    ) -> None:
        """Load the library. Raises BadInputError where it is missing or does not load."""
        try:
            from livekit import rtc  # noqa: PLC0415 - see the module
        except ImportError as error:
            reason = f" ({error})" if is_installed() else ""
            raise BadInputError(f"{NOT_INSTALLED}{reason}") from error
        self._frame_of = rtc.AudioFrame
        self._apm = rtc.AudioProcessingModule(
            echo_cancellation=echo_cancellation,
            noise_suppression=noise_suppression,
            high_pass_filter=True,  # rumble below speech; the canceller's filter need not model it
        )
        self._cancels = echo_cancellation
        self._near_hz, self._far_hz = microphone_hz, loudspeaker_hz

    def played(self, frame: bytes) -> None:
        """See EchoCanceller."""
        if self._cancels:
            data = self._frame_of(bytearray(frame), self._far_hz, 1, self._far_hz * FRAME_MS // 1000)
            self._apm.process_reverse_stream(data)

    def clean(self, frame: bytes) -> bytes:
        """See EchoCanceller."""
        data = self._frame_of(bytearray(frame), self._near_hz, 1, self._near_hz * FRAME_MS // 1000)
        self._apm.process_stream(data)  # in place
        return bytes(data.data)

    def expect_delay(self, delay_ms: int) -> None:
        """See EchoCanceller."""
        if self._cancels:
            self._apm.set_stream_delay_ms(max(0, min(MAX_DELAY_MS, delay_ms)))


def make_cleaner(
    wanted: EchoCancellation,
    *,
    noise_suppression: bool,
    microphone_hz: int,
    loudspeaker_hz: int | None,
    delay_ms: int,
) -> Cleaner | str:
    """What was asked for; or one sentence for the person why the microphone is sent as it is, "" where that was asked.

    `loudspeaker_hz` is None where nothing is played. Raises BadInputError where ON cannot be had.
    """
    cancel = wanted is not EchoCancellation.OFF and loudspeaker_hz is not None
    if not cancel and not noise_suppression:
        return ""
    far_hz = loudspeaker_hz if loudspeaker_hz is not None else microphone_hz
    problem = "" if is_installed() else NOT_INSTALLED
    for rate_hz in (microphone_hz, far_hz):
        if not takes_rate(rate_hz):
            problem = problem or f"Sound of {rate_hz} Hz cannot be cleaned of echo: --rate needs a multiple of 100."
    if problem:
        if wanted is EchoCancellation.ON:
            raise BadInputError(f"--echo-cancellation on: {problem}")
        return problem
    canceller = WebRtcAudio(
        microphone_hz=microphone_hz,
        loudspeaker_hz=far_hz,
        echo_cancellation=cancel,
        noise_suppression=noise_suppression,
    )
    canceller.expect_delay(delay_ms)
    return Cleaner(canceller, microphone_hz=microphone_hz, loudspeaker_hz=far_hz)

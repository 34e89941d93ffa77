"""Metrics for Prometheus, on a port of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_RTF = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)


class PrometheusMetrics:
    """Real-time factor is processing time per time of audio: below 1 keeps up."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._streams = Gauge("speech_worker_active_streams", "Calls that run now", ["service"], registry=registry)
        self._refusals = Counter(
            "speech_worker_refusals_total", "Calls refused", ["service", "reason"], registry=registry
        )
        self._final = Histogram(
            "speech_worker_asr_final_seconds", "End of utterance known to its final result", buckets=_LATENCY_S,
            registry=registry,
        )  # fmt: skip
        self._asr_rtf = Histogram(
            "speech_worker_asr_rtf", "Real-time factor of decoding", buckets=_RTF, registry=registry
        )
        self._asr_audio = Counter("speech_worker_asr_audio_seconds_total", "Audio decoded", registry=registry)
        self._first = Histogram(
            "speech_worker_tts_first_chunk_seconds", "Request to first audio", buckets=_LATENCY_S, registry=registry
        )
        self._tts_rtf = Histogram(
            "speech_worker_tts_rtf", "Real-time factor of synthesis", buckets=_RTF, registry=registry
        )
        self._characters = Counter("speech_worker_tts_characters_total", "Text spoken", registry=registry)

    def asr_stream(self, *, opened: bool) -> None:
        self._streams.labels("asr").inc(1 if opened else -1)

    def asr_final(self, *, latency_s: float) -> None:
        self._final.observe(latency_s)

    def asr_decoded(self, *, audio_s: float, took_s: float) -> None:
        self._asr_audio.inc(audio_s)
        if audio_s > 0:
            self._asr_rtf.observe(took_s / audio_s)

    def tts_stream(self, *, opened: bool) -> None:
        self._streams.labels("tts").inc(1 if opened else -1)

    def tts_first_chunk(self, *, latency_s: float) -> None:
        self._first.observe(latency_s)

    def tts_done(self, *, audio_s: float, took_s: float, characters: int) -> None:
        self._characters.inc(characters)
        if audio_s > 0:
            self._tts_rtf.observe(took_s / audio_s)

    def refused(self, *, service: str, reason: str) -> None:
        self._refusals.labels(service, reason).inc()

"""Riva's messages to our values and back; pure functions, and the only file with both in it.

Message classes come from nvidia-riva-client. Its health_pb2 is never imported: it cannot live in one process with
grpcio-health-checking.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from riva.client.proto import riva_asr_pb2, riva_audio_pb2, riva_tts_pb2

from speech_worker.application.ports import RECOGNITION_RATE_HZ
from speech_worker.application.synthesize import Spoken
from speech_worker.domain.audio import AudioFormat, Encoding, checked_mono, checked_rate
from speech_worker.domain.endpointing import EndpointingRule
from speech_worker.domain.errors import InvalidRequest
from speech_worker.domain.recognition import Result
from speech_worker.domain.words import durations_s

_ENCODINGS: Final = {
    riva_audio_pb2.ENCODING_UNSPECIFIED: Encoding.LINEAR_PCM,
    riva_audio_pb2.LINEAR_PCM: Encoding.LINEAR_PCM,
    riva_audio_pb2.MULAW: Encoding.MULAW,
    riva_audio_pb2.ALAW: Encoding.ALAW,
}


def audio_format(config: Any) -> AudioFormat:
    """What a RecognitionConfig declares. Unset means 16-bit PCM at the model's rate."""
    encoding = _ENCODINGS.get(config.encoding)
    if encoding is None:
        raise InvalidRequest(
            f"Unsupported audio encoding {_encoding_name(config.encoding)}: LINEAR_PCM, MULAW and ALAW are supported."
        )
    checked_mono(config.audio_channel_count)
    rate_hz = config.sample_rate_hertz
    return AudioFormat(encoding, checked_rate(rate_hz, field="sample_rate_hertz") if rate_hz else RECOGNITION_RATE_HZ)


def endpointing_rule(config: Any, default: EndpointingRule) -> EndpointingRule:
    """The defaults of the server with what the caller set. Two-pass EOU may also come as custom_configuration."""
    values: dict[str, Any] = {}
    custom = config.custom_configuration
    if "stop_history_eou" in custom:
        values["stop_history_eou_ms"] = _whole_number(
            custom["stop_history_eou"], "custom_configuration.stop_history_eou"
        )
    given = config.endpointing_config
    if given.HasField("start_history"):
        values["start_history_ms"] = given.start_history
    if given.HasField("stop_history"):
        values["stop_history_ms"] = given.stop_history
    if given.HasField("stop_history_eou"):
        values["stop_history_eou_ms"] = given.stop_history_eou
    for name in ("start_threshold", "stop_threshold", "stop_threshold_eou"):
        if given.HasField(name):
            values[name] = round(getattr(given, name), 6)  # float32 on the wire: 0.98 comes as 0.9800000190734863
    if not values:
        return default
    # A caller who shortens stop_history below the server's own first pass does not want that one.
    stop_ms = values.get("stop_history_ms", default.stop_history_ms)
    if "stop_history_eou_ms" not in values and default.stop_history_eou_ms >= stop_ms:
        values["stop_history_eou_ms"] = 0
    return replace(default, **values)


def wants_end_of_utterance(request: Any) -> bool:
    return bool(request.runtime_config.get("force_eou", "").lower() == "true")


def streaming_response(results: Iterable[Result], request_id: str) -> Any:
    response = riva_asr_pb2.StreamingRecognizeResponse(results=[_streaming_result(result) for result in results])
    if request_id:
        response.id.value = request_id
    return response


def _streaming_result(result: Result) -> Any:
    return riva_asr_pb2.StreamingRecognitionResult(
        alternatives=[_alternative(result)],
        is_final=result.is_final,
        stability=result.stability,
        channel_tag=1,
        audio_processed=result.audio_processed_s,
    )


def offline_response(results: Iterable[Result], request_id: str) -> Any:
    response = riva_asr_pb2.RecognizeResponse(
        results=[
            riva_asr_pb2.SpeechRecognitionResult(
                alternatives=[_alternative(result)], channel_tag=1, audio_processed=result.audio_processed_s
            )
            for result in results
        ]
    )
    if request_id:
        response.id.value = request_id
    return response


def _alternative(result: Result) -> Any:
    words = [
        riva_asr_pb2.WordInfo(
            word=word.text, start_time=word.start_ms, end_time=word.end_ms, confidence=word.confidence
        )
        for word in result.words
    ]
    return riva_asr_pb2.SpeechRecognitionAlternative(
        transcript=result.transcript, confidence=result.confidence, words=words
    )


def synthesis_rate(request: Any, engine_rate_hz: int) -> int:
    """Raises InvalidRequest for an encoding or a rate that is not served. Unset means 16-bit PCM, the engine's rate."""
    if request.encoding not in (riva_audio_pb2.ENCODING_UNSPECIFIED, riva_audio_pb2.LINEAR_PCM):
        raise InvalidRequest(f"Unsupported audio encoding {_encoding_name(request.encoding)}: LINEAR_PCM is supported.")
    rate_hz = request.sample_rate_hz
    return checked_rate(rate_hz, field="sample_rate_hz") if rate_hz else engine_rate_hz


def synthesis_response(spoken: Spoken, *, text: str, processed_text: str, request_id: str, word_times: bool) -> Any:
    """`predicted_durations` are seconds, one for each word whose end is known with this chunk."""
    response = riva_tts_pb2.SynthesizeSpeechResponse(audio=spoken.pcm)
    response.meta.text = text
    response.meta.processed_text = processed_text
    response.meta.predicted_durations.extend(durations_s(spoken.words))
    if word_times:
        for word in spoken.words:
            response.meta.words.add(word=word.text, start_time=word.start_ms, end_time=word.end_ms)
    if request_id:
        response.id.value = request_id
    return response


def _encoding_name(number: int) -> str:
    try:
        return str(riva_audio_pb2.AudioEncoding.Name(number))
    except ValueError:
        return str(number)


def _whole_number(text: str, field: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidRequest(f"{field} is {text[:40]!r}: a whole number of ms is allowed.") from None

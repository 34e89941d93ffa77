"""What a scrape of the metrics port shows after one call of each kind and one refusal."""

import asyncio
import re
import urllib.request

import grpc
import pytest
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc, riva_tts_pb2, riva_tts_pb2_grpc
from speech_harness import question, wav, worker

from servicekit.testing import free_port
from speech_worker.engines.scripted import ScriptedAsrEngine

pytestmark = pytest.mark.edge


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


async def test_calls_and_refusals_are_counted() -> None:
    port = free_port()
    async with worker(asr=ScriptedAsrEngine(max_streams=1), metrics_port=port) as (_, channel):
        await riva_tts_pb2_grpc.RivaSpeechSynthesisStub(channel).Synthesize(
            riva_tts_pb2.SynthesizeSpeechRequest(text="one two", sample_rate_hz=16_000)
        )
        stub = riva_asr_pb2_grpc.RivaSpeechRecognitionStub(channel)
        await stub.Recognize(riva_asr_pb2.RecognizeRequest(audio=wav(question("what-is-my-name"))))
        held = stub.StreamingRecognize(timeout=20)
        await held.write(riva_asr_pb2.StreamingRecognizeRequest(streaming_config={}))
        await held.write(riva_asr_pb2.StreamingRecognizeRequest(audio_content=bytes(320)))
        await held.read()
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Recognize(riva_asr_pb2.RecognizeRequest(audio=bytes(320)))
        found = await asyncio.to_thread(scrape, port)
        held.cancel()
    assert found['speech_worker_active_streams{service="asr"}'] == 1
    assert found['speech_worker_active_streams{service="tts"}'] == 0
    assert found['speech_worker_refusals_total{reason="WORKER_FULL",service="asr"}'] == 1
    assert found["speech_worker_asr_final_seconds_count"] == 1
    assert found["speech_worker_tts_first_chunk_seconds_count"] == 1
    assert found["speech_worker_tts_characters_total"] == 7
    assert found["speech_worker_asr_audio_seconds_total"] > 0.5

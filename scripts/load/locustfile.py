"""Calls to the gateway by Locust: each user holds a call, asks, listens, thinks, asks again.

    pip install locust -e services/contracts -e services/clients
    locust -f scripts/load/locustfile.py --host 127.0.0.1:50051 --headless -u 5 -r 5 -t 60s

The statistics' `response` is from the last chunk of the question sent to the first audio of the answer received.
"""

import os
import queue
import time
from collections.abc import Iterator

import grpc
from grpc.experimental import gevent as grpc_gevent
from locust import User, between, events, task  # type: ignore[import-not-found] # no dependency of ours

from voice_clients.load.speech import read_pool
from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

grpc_gevent.init_gevent()

RATE_HZ = 16_000
CHUNK_MS = int(os.environ.get("VOICE_CHUNK_MS", "20"))
ANSWER_TIMEOUT_S = 15.0
POOL = read_pool([], RATE_HZ, CHUNK_MS)
SILENCE = bytes(2 * RATE_HZ * CHUNK_MS // 1000)


class Caller(User):  # type: ignore[misc]
    """One call for the whole run."""

    wait_time = between(0.5, 1.5)

    def on_start(self) -> None:
        """Dial."""
        self.asked = 0
        self.speech: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.last_sent_s = 0.0
        self.channel = grpc.insecure_channel(self.host)
        self.call = pb_grpc.VoiceGatewayStub(self.channel).StreamAudio(self.microphone())

    def on_stop(self) -> None:
        """Hang up."""
        self.call.cancel()
        self.channel.close()

    def microphone(self) -> Iterator[pb.ClientMessage]:
        """Speech where there is any, silence elsewhere, at the pace of a microphone."""
        yield pb.ClientMessage(config=pb.VoiceConfig(language_code="en-US", session_id="load", sample_rate=RATE_HZ))
        due_s = time.monotonic()
        while True:
            due_s += CHUNK_MS / 1000
            time.sleep(max(0.0, due_s - time.monotonic()))
            if self.speech.empty():
                yield pb.ClientMessage(audio_chunk=SILENCE)
                continue
            yield pb.ClientMessage(audio_chunk=self.speech.get())
            self.last_sent_s = time.monotonic()

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        """One turn."""
        utterance = POOL[self.asked % len(POOL)]
        self.asked += 1
        for chunk in utterance.chunks:
            self.speech.put(chunk)
        begun_s, size = time.monotonic(), 0
        response_ms: float | None = None
        error: Exception | None = None
        try:
            for message in self.call:
                size += len(message.audio_chunk)
                if message.audio_chunk and response_ms is None and self.speech.empty():
                    response_ms = (time.monotonic() - self.last_sent_s) * 1000
                if message.event.type == pb.ERROR:
                    error = RuntimeError(message.event.message)
                if message.event.type == pb.END_OF_TURN and self.speech.empty():
                    break
                if time.monotonic() - begun_s > utterance.seconds + ANSWER_TIMEOUT_S and response_ms is None:
                    break
        except grpc.RpcError as failure:
            error = failure
        if response_ms is None and error is None:
            error = TimeoutError("no answer")
        events.request.fire(
            request_type="voice",
            name="response",
            response_time=response_ms or 0.0,
            response_length=size,
            exception=error,
            context={},
        )

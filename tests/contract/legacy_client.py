"""A client of the first contract, as deployed ones are: blocking gRPC, a thread that sends, a loop that reads.

Run in a folder that holds code generated from first_contract.proto alone:
    python legacy_client.py TARGET WAV fast|paced close|break
Prints one JSON object: what it received, in order.
"""

import json
import queue
import sys
import threading
import time
import wave
from collections.abc import Iterator

import first_contract_pb2 as pb
import first_contract_pb2_grpc as rpc
import grpc

FRAMES = 4096
END = None


def main() -> int:
    target, path, pace, ending = sys.argv[1:5]
    with wave.open(path, "rb") as recording:
        rate = recording.getframerate()
        pcm = recording.readframes(recording.getnframes())
    outgoing: queue.Queue[pb.ClientMessage | None] = queue.Queue()
    over = threading.Event()
    config = pb.VoiceConfig(language_code="en-US", session_id="legacy", sample_rate=rate)
    outgoing.put(pb.ClientMessage(config=config))

    def speak() -> None:
        for start in range(0, len(pcm), FRAMES * 2):
            outgoing.put(pb.ClientMessage(audio_chunk=pcm[start : start + FRAMES * 2]))
            # Deployed file clients send a chunk every 10 ms, far faster than real time.
            time.sleep(0.01 if pace == "fast" else FRAMES / rate)
        while pace == "paced" and ending == "break" and not over.is_set():
            outgoing.put(pb.ClientMessage(audio_chunk=bytes(FRAMES * 2)))
            time.sleep(FRAMES / rate)
        if ending == "close":
            outgoing.put(END)

    def requests() -> Iterator[pb.ClientMessage]:
        while (message := outgoing.get()) is not END:
            yield message

    received: list[list[object]] = []
    unknown = 0
    with grpc.insecure_channel(target) as channel:
        threading.Thread(target=speak, daemon=True).start()
        call = rpc.VoiceGatewayStub(channel).StreamAudio(requests(), timeout=60)
        status = "OK"
        try:
            for message in call:
                # A message that the first contract explains in full comes out as the same bytes without what it
                # does not know.
                whole = message.SerializeToString()
                message.DiscardUnknownFields()
                unknown += message.SerializeToString() != whole
                kind = message.WhichOneof("content")
                if kind == "event":
                    received.append([kind, pb.EventType.Name(message.event.type), message.event.message])
                elif kind == "audio_chunk":
                    received.append([kind, message.audio_chunk.hex()])
                else:
                    received.append([str(kind), getattr(message, kind) if kind else None])
                if ending == "break" and received[-1][1] == "END_OF_TURN":
                    call.cancel()
                    break
        except grpc.RpcError as error:
            status = error.code().name
        over.set()
    json.dump({"received": received, "unknown": unknown, "status": status}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

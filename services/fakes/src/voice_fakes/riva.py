"""A fake Riva: speech recognition and synthesis in one gRPC server."""

from types import TracebackType
from typing import Self

import grpc
from riva.client.proto import riva_asr_pb2_grpc, riva_tts_pb2_grpc

from servicekit.health import Health
from voice_fakes.adapters.asr import FakeAsr
from voice_fakes.adapters.tts import FakeTts
from voice_fakes.log import EventLog
from voice_fakes.script import Script

SERVICES = ("", "nvidia.riva.asr.RivaSpeechRecognition", "nvidia.riva.tts.RivaSpeechSynthesis")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # official clients send whole WAV files


class FakeRiva:
    """`async with FakeRiva(script) as riva:` then `riva.address` and `riva.log`.

    Raises RuntimeError when the address cannot be bound.
    """

    def __init__(
        self, script: Script | None = None, *, log: EventLog | None = None, listen_address: str = "127.0.0.1:0"
    ) -> None:
        self.log = EventLog() if log is None else log
        self._listen_address = listen_address
        self._script = script or Script()
        self._asr = FakeAsr(self._script.asr, self.log)
        self._tts = FakeTts(self._script.tts, self.log)
        self._health = Health()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """host:port, as RIVA_URI wants it."""
        return f"{self._listen_address.rpartition(':')[0]}:{self.port}"

    def use(self, script: Script) -> None:
        """Plays `script` for streams and texts that arrive from now on."""
        self._asr.use(script.asr)
        self._tts.use(script.tts)

    async def __aenter__(self) -> Self:
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.http2.bdp_probe", 0),  # its pings cost a sixth of every message
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        server = grpc.aio.server(options=options)
        riva_asr_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server(self._asr, server)
        riva_tts_pb2_grpc.add_RivaSpeechSynthesisServicer_to_server(self._tts, server)
        self._health.add_to(server)
        self.port = server.add_insecure_port(self._listen_address)
        await server.start()
        for service in SERVICES:
            self._health.set(service, True)
        self._server = server
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._health.shutdown()
        if self._server is not None:
            await self._server.stop(grace=0)

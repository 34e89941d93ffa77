"""The way in from a laptop: SSH to a host, `kubectl port-forward` there, and calls that outlive either of them."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest
from client_tunnel_host import Host, tunnel_host
from processes import BIN, ROOT

from bench.product import Product

pytestmark = [pytest.mark.timeout(240)]

QUESTIONS = ROOT / "services/clients/src/voice_clients/load/questions"


class Voice:
    """`voice` through the tunnel, and what it shows."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.shown = b""

    @classmethod
    async def start(cls, host: Host, *arguments: str) -> "Voice":
        """Start it."""
        return cls(
            await asyncio.create_subprocess_exec(
                *(str(BIN / "voice"), *arguments, "--target", f"127.0.0.1:{host.local_port}"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "PYTHONUTF8": "1"},
            )
        )

    async def shows(self, text: bytes) -> None:
        """Wait until it does."""
        assert self._process.stdout is not None
        while text not in self.shown:
            more = await self._process.stdout.read(65_536)
            assert more, self.shown.decode()
            self.shown += more

    async def type(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def ends_well(self) -> None:
        """Wait for its end."""
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.shown += await self._process.stdout.read()
        assert await self._process.wait() == 0, self.shown.decode()


async def test_say_and_talk_outlive_the_port_forward_and_the_tunnel(product: Product, tmp_path: Path) -> None:
    product.install()
    product.forget()
    kubectl = shutil.which("kubectl")
    assert kubectl is not None
    files = [str(QUESTIONS / name) for name in ("tell-me-a-long-story.flac", "thank-you-very-much.flac")]
    namespace = ("--namespace", product.namespace.name)
    async with asyncio.timeout(200), tunnel_host(tmp_path, "", real_kubectl=kubectl) as host, host.up(*namespace):
        say = await Voice.start(host, "say", *files, "--timings", "off", "--out", str(tmp_path / "answer.wav"))
        await say.shows(b"assistant:")
        os.kill(host.forwards[-1][0], signal.SIGKILL)
        await say.shows(b"resumed after")
        await say.ends_well()
        assert (await host.run(*namespace, "headnode", "status"))[0] == 0

        talk = await Voice.start(host, "talk", "--text", "--no-speaker")
        await talk.type("hello")
        await talk.shows(b"assistant:")
        host.drop_connections()
        await talk.shows(b"resumed after")
        await talk.type("and again")
        await talk.ends_well()
    histories = list(product.conversations().values())
    assert [len(said) for said in histories if said] == [len(files)]
    assert (tmp_path / "answer.wav").stat().st_size > 100_000

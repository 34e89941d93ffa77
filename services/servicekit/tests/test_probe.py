"""The health check of containers: what it asks, and what it says, on real gRPC and HTTP."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest

from servicekit.health import Health
from servicekit.probe import EXIT_BAD_TARGET, EXIT_UNHEALTHY, ask, chosen, main


@pytest.mark.parametrize(
    ("targets", "environ", "address"),
    [
        (["127.0.0.1:50051"], {}, "127.0.0.1:50051"),
        (["gateway:50051"], {}, "gateway:50051"),
        (["LISTEN"], {"LISTEN": "0.0.0.0:50051"}, "127.0.0.1:50051"),
        (["LISTEN"], {"LISTEN": "[::]:50051"}, "[::1]:50051"),
        (["PLAIN", "LISTEN"], {"PLAIN": "", "LISTEN": "10.1.2.3:1"}, "10.1.2.3:1"),
        (["PLAIN", "LISTEN"], {"PLAIN": "0.0.0.0:2", "LISTEN": "0.0.0.0:1"}, "127.0.0.1:2"),
        (["http://127.0.0.1:8000/ready"], {}, "http://127.0.0.1:8000/ready"),
    ],
)
def test_the_first_target_that_is_set_is_asked(targets: list[str], environ: dict[str, str], address: str) -> None:
    assert chosen(targets, environ) == address


@pytest.mark.parametrize(
    ("targets", "environ", "sentence"),
    [
        (["LISTEN"], {}, "Nothing to ask: LISTEN is empty or not set."),
        (["LISTEN"], {"LISTEN": "50051"}, "LISTEN is '50051'; allowed is host:port"),
        (["https://127.0.0.1/"], {}, "https://127.0.0.1/ is 'https://127.0.0.1/'; allowed is host:port"),
    ],
)
def test_a_target_that_cannot_be_asked_is_refused(targets: list[str], environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match="^" + sentence.replace("(", r"\(")):
        chosen(targets, environ)


@asynccontextmanager
async def served(health: Health) -> AsyncIterator[str]:
    server = grpc.aio.server()
    health.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def asked(address: str, service: str = "") -> str:
    return await asyncio.to_thread(ask, address, service=service, timeout_s=20)


@pytest.mark.edge
async def test_it_tells_whether_a_grpc_service_serves() -> None:
    health = Health()
    health.set("", True)
    health.set("readiness", False)
    async with served(health) as address:
        assert await asked(address) == ""
        assert await asked(address, "readiness") == f"{address} is NOT_SERVING"
        assert await asked(address, "nobody") == f"{address} does not answer: NOT_FOUND, unknown service"
        command = [sys.executable, "-m", "servicekit.probe", "LISTEN", "--timeout", "20"]
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "LISTEN": address})
        assert await process.wait() == 0
    assert (await asked(address)).startswith(f"{address} does not answer: UNAVAILABLE")


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Nothing: the test's output is not its log."""


@contextmanager
def http_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(20)


@pytest.mark.edge
def test_it_tells_whether_an_http_service_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with http_server() as base:
        assert ask(f"{base}/ready", service="", timeout_s=20) == ""
        assert ask(f"{base}/loading", service="", timeout_s=20) == f"{base}/loading answers 503"
    assert ask(f"{base}/ready", service="", timeout_s=20).startswith(f"{base}/ready does not answer: ")


@pytest.mark.edge
def test_its_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with http_server() as base:
        assert main([f"{base}/ready"]) == 0
        assert main([f"{base}/loading"]) == EXIT_UNHEALTHY
        assert main(["NO_SUCH_VARIABLE"]) == EXIT_BAD_TARGET
    assert capsys.readouterr().err.splitlines() == [
        f"{base}/loading answers 503",
        "Nothing to ask: NO_SUCH_VARIABLE is empty or not set.",
    ]


@pytest.mark.edge
def test_the_command_refuses_with_a_sentence() -> None:
    command = [sys.executable, "-m", "servicekit.probe", "50051"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert result.returncode == EXIT_BAD_TARGET
    assert "allowed is host:port" in result.stderr

"""The gateway as a process that is looked into: traces at a collector, logs with their ids, a level that changes."""

import asyncio
import gzip
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from gateway_edge import WAIT_S, config
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from processes import BIN, Service, gateway_for, service

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

pytestmark = [pytest.mark.edge]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
START_S = 50.0


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    script = tmp_path_factory.mktemp("fakes") / "script.yaml"
    script.write_text(yaml.safe_dump({"llm": {"replies": ["It is noon. The sun is high."]}}))
    with service(
        "fakes", "voice-fakes", "--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0", "--script", str(script)
    ) as running:
        yield running


def in_front_of(fakes: Service, **environ: str) -> Any:
    base_url = f"http://127.0.0.1:{fakes.ready['llm_port']}/v1"
    return gateway_for(f"127.0.0.1:{fakes.ready['riva_port']}", base_url, **environ)


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.came = threading.Condition()

    def spans(self) -> dict[str, Any]:
        """By name."""
        return {
            span.name: span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def until(self, name: str) -> dict[str, Any]:
        """Wait for a span."""
        with self.came:
            assert self.came.wait_for(lambda: name in self.spans(), WAIT_S), sorted(self.spans())
        return self.spans()


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector and its address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            with collector.came:
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.came.notify_all()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(WAIT_S)


async def turn_of(gateway: Service, *, then: Any = None, metadata: tuple[tuple[str, str], ...] = ()) -> None:
    """A call with one typed turn. `then` runs after the turn, while the call goes on."""
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call = pb_grpc.VoiceGatewayStub(channel).StreamAudio(timeout=WAIT_S, metadata=metadata)
        await call.write(config(session_id="test"))
        await call.write(pb.ClientMessage(text_input="What time is it, Rumpelstiltskin?"))
        message: Any = None
        while message is None or message.event.type != pb.END_OF_TURN:
            message = await call.read()
            assert message is not grpc.aio.EOF
        if then is not None:
            await asyncio.to_thread(then)
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass


async def test_a_collector_gets_a_calls_trace_while_the_call_goes_on(fakes: Service) -> None:
    with collecting() as (collector, address):
        with in_front_of(
            fakes,
            OTEL_EXPORTER_OTLP_ENDPOINT=address,
            OTEL_EXPORTER_OTLP_HEADERS="x-key=of-all-signals",
            OTEL_EXPORTER_OTLP_TRACES_HEADERS="x-key=s%20ecret",
            OTEL_BSP_SCHEDULE_DELAY="100",
            OTEL_SERVICE_NAME="gateway-of-the-test",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        ) as gateway:
            metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
            during: list[dict[str, Any]] = []
            await turn_of(gateway, then=lambda: during.append(collector.until("turn")), metadata=metadata)
            spans = collector.until("call end")
        (logged,) = gateway.events("turn_ended")
        (ended,) = gateway.events("call_ended")
        opening, turn = spans["voice_workflow.VoiceGateway/StreamAudio"], spans["turn"]
        assert "call end" not in during[0]
        assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
        assert opening.parent_span_id.hex() == PARENT
        assert turn.parent_span_id == spans["call end"].parent_span_id == opening.span_id
        assert spans["call end"].links[0].span_id == opening.span_id
        chat = next(span for name, span in spans.items() if name.startswith("chat "))
        for span in (chat, spans["endpoint"], spans["tts phrase"], spans["playback"]):
            assert span.parent_span_id == turn.span_id
        assert all(span.status.code != Status.STATUS_CODE_ERROR for span in spans.values())
        (resource, *_) = collector.requests[0].resource_spans
        named = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert named.items() >= {
            ("service.name", "gateway-of-the-test"), ("deployment.environment.name", "test"),
        }  # fmt: skip
        assert collector.headers[0]["x-key"] == "s ecret"
        assert (logged["trace_id"], logged["span_id"]) == (TRACE, turn.span_id.hex())
        assert (ended["trace_id"], ended["span_id"]) == (TRACE, opening.span_id.hex())
        everything = b"".join(request.SerializeToString() for request in collector.requests)
        assert b"Rumpelstiltskin" not in everything + "".join(gateway.lines).encode()


@pytest.mark.parametrize("mute", [False, True], ids=["gone", "mute"])
async def test_a_collector_that_does_not_answer_costs_no_call(mute: bool, fakes: Service) -> None:
    """It is stopped in time as well: the fixture fails where the exporter is waited for to its own end."""
    with socket.create_server(("127.0.0.1", 0)) as collector:
        address = f"http://127.0.0.1:{collector.getsockname()[1]}" if mute else "http://127.0.0.1:9"
        patient = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
        with in_front_of(fakes, OTEL_EXPORTER_OTLP_ENDPOINT=address, **patient) as gateway:
            for _ in range(3):
                await turn_of(gateway)
            if mute:
                connection, _ = await asyncio.to_thread(collector.accept)
                assert await asyncio.to_thread(connection.recv, 100), "spans wait for an answer now"
        if mute:
            connection.close()
    assert [line["status"] for line in gateway.events("call_ended")] == ["ok"] * 3
    assert gateway.events("stopped") != []


def series(gateway: Service) -> set[str]:
    """Names and labels of all that Prometheus would keep."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ready['metrics_port']}/metrics", timeout=WAIT_S) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


async def hostile(gateway: Service, number: int) -> None:
    """One stream for each thing that a caller may name: a language, a session, a voice, a cause, a trace."""
    name = f"Mallory-{number}"
    wishes: list[dict[str, Any]] = [
        {"language_code": f"qa{'abcdefgh'[number]}-US", "session_id": name},
        {"language_code": name},
        {"overrides": pb.SessionOverrides(tts_voice=name)},
        {"overrides": pb.SessionOverrides(llm_model=name)},
        {"resume": pb.Resume(token=name.encode(), cause=40 + number, gap_ms=2**62)},  # type: ignore[arg-type] # enums are open
    ]
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        for wish in wishes:
            metadata = (("traceparent", name), ("x-request-id", name))
            call = pb_grpc.VoiceGatewayStub(channel).StreamAudio(timeout=WAIT_S, metadata=metadata)
            with suppress(grpc.aio.AioRpcError):
                await call.write(config(**wish))
                await call.write(pb.ClientMessage(text_input=name))
                await call.done_writing()
                while await call.read() is not grpc.aio.EOF:
                    pass


async def test_nothing_that_callers_send_makes_a_series(fakes: Service) -> None:
    with in_front_of(fakes) as gateway:
        await hostile(gateway, 0)
        before = series(gateway)
        for number in range(1, 5):
            await hostile(gateway, number)
        assert series(gateway) == before
    assert not any("Mallory" in each or "qaa" in each for each in before)
    assert len(before) < 2_000


async def test_the_level_of_the_logs_changes_while_it_runs(fakes: Service, tmp_path: Path) -> None:
    def edit(level: str) -> None:
        file = tmp_path / "LOG_LEVEL"
        file.with_suffix(".new").write_text(level)
        file.with_suffix(".new").replace(file)

    async def until(count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(gateway.events("log_level_changed")) < count:  # noqa: ASYNC110 - a log tells nobody that it grew
                await asyncio.sleep(0.05)

    edit("info")
    with in_front_of(fakes, GATEWAY_CONFIG=str(tmp_path)) as gateway:
        await turn_of(gateway)
        edit("warning")
        await until(1)
        await turn_of(gateway)
        edit("info")
        await until(2)
        await turn_of(gateway)
    ended = [line["call_id"] for line in gateway.events("turn_ended")]
    assert len(set(ended)) == len(ended) == 2
    assert [line["call_id"] for line in gateway.events("call_ended")] == ended
    assert [line["to"] for line in gateway.events("log_level_changed")] == ["warning", "info"]


def test_nothing_is_loaded_for_what_is_off() -> None:
    # One process, since it takes seconds to import the gateway: what is off comes first.
    code = """
import asyncio, sys
from voice_gateway import server
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.settings import load

async def hear(settings):
    async with server.audio_tools(settings, PrometheusTelemetry()):
        pass

def loaded(package):
    print(any(name.partition(".")[0] == package for name in sys.modules))

for case in sys.argv[1:]:
    settings = load(environ=dict(setting.split("=", 1) for setting in case.split()))
    server.tracing(settings, None)
    loaded("opentelemetry")
for engine in ("webrtc", "silero"):
    asyncio.run(hear(load(environ={"VAD_ENGINE": engine})))
    loaded("onnxruntime")
"""
    on = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9"
    result = subprocess.run(
        [sys.executable, "-c", code, "", f"{on} OTEL_SDK_DISABLED=true", f"{on} OTEL_TRACES_EXPORTER=none", on],
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    said = [line for line in result.stdout.split() if line in ("True", "False")]
    assert said == ["False", "False", "False", "True", "False", "True"], result.stdout + result.stderr


def test_wrong_tracing_settings_are_refused() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318",
        "OTEL_TRACES_SAMPLER": "sometimes",
        "OTEL_TRACES_SAMPLER_ARG": "2",
        "OTEL_EXPORTER_OTLP_HEADERS": "s3cret",
    }
    result = subprocess.run(
        [str(BIN / "voice-gateway"), "--check"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert result.returncode == 2
    assert {line.split()[0] for line in result.stderr.splitlines()} == set(environ)
    assert "s3cret" not in result.stderr

"""A gateway process whose certificate is renewed, that takes edits while nobody calls, and that tells its cluster."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_api_server import api_server
from gateway_certificates import Authority, trusting
from gateway_edge import WAIT_S, channel_to, config
from gateway_mount import Mounted
from grpc_health.v1 import health_pb2, health_pb2_grpc
from processes import Service, gateway_for

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

pytestmark = [pytest.mark.edge]

NOWHERE = "127.0.0.1:9"
"""The discard port: nothing listens there."""

PROMPT = "You are a secret agent."


def alone(**environ: str) -> Any:
    """A gateway without backends."""
    return gateway_for(NOWHERE, f"http://{NOWHERE}/v1", **environ)


def page(gateway: Service, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.ready['metrics_port']}{path}", timeout=WAIT_S) as answer:
        body: bytes = answer.read()
    return body.decode()


async def until(gateway: Service, happened: Callable[[], bool]) -> None:
    """Wait for something that the gateway does by itself, or that is done meanwhile on this loop."""
    async with asyncio.timeout(WAIT_S):
        while not happened():
            assert gateway.process.poll() is None
            await asyncio.sleep(0.05)


async def probe(port: int, service: str) -> Any:
    async with channel_to(port) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_S)).status


async def test_a_certificate_is_renewed_under_a_running_call(tmp_path: Path) -> None:
    """Who trusts only the successor's authority connects after the renewal, without a restart."""
    before, after = Authority("before"), Authority("after")
    secret = Mounted(tmp_path, before.issue().files)
    environ = {
        "TLS_CERT_FILE": secret.path("tls.crt"),
        "TLS_KEY_FILE": secret.path("tls.key"),
        "HEALTH_LISTEN_ADDRESS": "127.0.0.1:0",
    }
    with alone(**environ) as gateway:
        for service in ("liveness", "readiness"):
            assert await probe(gateway.ready["health_port"], service) == health_pb2.HealthCheckResponse.SERVING
        async with channel_to(gateway.ready["port"], trusting(before)) as channel:
            stub: Any = pb_grpc.VoiceGatewayStub(channel)
            call = stub.StreamAudio(timeout=WAIT_S)
            await call.write(config(capabilities=[pb.SESSION_INFO]))
            assert (await call.read()).HasField("session")
            secret.swap(after.issue().files)
            await until(gateway, lambda: bool(gateway.events("credentials_applied")))
            async with channel_to(gateway.ready["port"], trusting(after)) as another:
                await asyncio.wait_for(another.channel_ready(), WAIT_S)
            await call.write(pb.ClientMessage(text_input="still here?"))
            assert (await call.read()).HasField("event")
            call.cancel()


async def test_an_idle_gateway_takes_edits_and_tells_the_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    mounted = Mounted(folder, {"LLM_TEMPERATURE": b"0.7", "LLM_SYSTEM_PROMPT": PROMPT.encode()})
    async with api_server(tmp_path) as server:
        environ = {
            "GATEWAY_CONFIG": str(folder),
            "KUBERNETES_EVENTS": "true",
            "POD_DELETION_COST": "true",
            "POD_NAME": "gateway-0",
            "POD_NAMESPACE": "voice-workflow",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "KUBERNETES_ACCOUNT_DIR": str(server.account),
        }
        with alone(**environ) as gateway:
            await until(gateway, lambda: bool(server.patches))
            mounted.swap({"LLM_TEMPERATURE": b"0.2", "LLM_SYSTEM_PROMPT": PROMPT.encode(), "MAX_CALLS": b"7"})
            await until(gateway, lambda: len(server.events) == 1)
            mounted.swap({"LLM_TEMPERATURE": b"hot", "LLM_SYSTEM_PROMPT": PROMPT.encode() * 2_000})
            await until(gateway, lambda: len(server.events) == 2)
            status = json.loads(await asyncio.to_thread(page, gateway, "/status"))
            figures = await asyncio.to_thread(page, gateway, "/metrics")
        applied, refused = server.events
        revision = gateway.events("config_applied")[0]["revision"]
        assert gateway.events("config_applied")[0]["keys"] == ["LLM_TEMPERATURE", "MAX_CALLS"]
        assert gateway.events("config_needs_restart")[0]["keys"] == ["MAX_CALLS"]
        assert (applied["type"], applied["reason"]) == ("Normal", "ConfigApplied")
        assert applied["message"] == f"Revision {revision} is in force; changed: LLM_TEMPERATURE, MAX_CALLS."
        assert (refused["type"], refused["reason"]) == ("Warning", "ConfigRefused")
        assert refused["message"].startswith(f"Revision {revision} stays in force. LLM_TEMPERATURE is 'hot'")
        assert "LLM_SYSTEM_PROMPT is (hidden)" in refused["message"]
        assert status["config"]["revision"] == revision
        assert status["config"]["refused"] is True
        assert len(status["config"]["last_refusal"]["problems"]) == 2
        assert status["config"]["needs_restart"] == ["MAX_CALLS"]
        assert status["kubernetes"] == {"deletion_cost": True, "events": True}
        assert 'voice_gateway_config_reloads_total{result="refused"} 1.0' in figures
        assert f'voice_gateway_config_info{{revision="{revision}"}} 1.0' in figures
        assert not any(
            "secret agent" in text for text in (*gateway.lines, json.dumps(status), json.dumps(server.events))
        )
        cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "0"}}}
        assert server.patches == [cost]


async def test_a_cluster_that_permits_nothing_is_asked_once(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    mounted = Mounted(folder, {"LLM_TEMPERATURE": b"0.7"})
    async with api_server(tmp_path) as server:
        server.statuses = [403] * 10
        environ = {
            "GATEWAY_CONFIG": str(folder),
            "KUBERNETES_EVENTS": "true",
            "POD_NAME": "gateway-0",
            "POD_NAMESPACE": "voice-workflow",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "KUBERNETES_ACCOUNT_DIR": str(server.account),
        }
        with alone(**environ) as gateway:
            mounted.swap({"LLM_TEMPERATURE": b"0.2"})
            await until(gateway, lambda: bool(gateway.events("kubernetes_forbidden")))
            mounted.swap({"LLM_TEMPERATURE": b"0.3"})
            await until(gateway, lambda: len(gateway.events("config_applied")) == 2)
            assert '{result="forbidden",what="event"} 1.0' in await asyncio.to_thread(page, gateway, "/metrics")
        assert server.asked == 1
        assert len(gateway.events("kubernetes_forbidden")) == 1

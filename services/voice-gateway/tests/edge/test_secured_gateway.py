"""TLS, keys and status pages of a gateway on real ports."""

import asyncio
import base64
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateway_certificates import Authority, Issued, trusting
from gateway_edge import WAIT_S, Edge, all_of, channel_to, config, refused, served
from gateway_mount import Mounted
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs

from servicekit.rpc_auth import PRINCIPAL
from servicekit.settings import SettingsError
from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc
from voice_gateway.application.messages import EventKind, EventOut, Hello, TextIn
from voice_gateway.application.ports import CallTransport

pytestmark = pytest.mark.edge

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

AUTHORITY = Authority()
CALLERS = Authority("callers")

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"


def shown_by(port: int) -> int:
    """Serial number of the certificate that a new connection sees."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        der = wrapped.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def tls_keys(secret: Mounted, **more: str) -> dict[str, str]:
    return {"TLS_CERT_FILE": secret.path("tls.crt"), "TLS_KEY_FILE": secret.path("tls.key"), **more}


async def state(channel: grpc.aio.Channel, service: str = "") -> Any:
    answer = await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S
    )
    return answer.status


async def converses(hello: Hello, transport: CallTransport) -> None:
    """Says END_OF_TURN for each text."""
    while isinstance(await transport.receive(), TextIn):
        await transport.send(EventOut(1, EventKind.END_OF_TURN))


async def says(call: Any, text: str) -> None:
    await call.write(pb.ClientMessage(text_input=text))
    answer = await asyncio.wait_for(call.read(), WAIT_S)
    assert answer.event.type == pb.END_OF_TURN


async def whole_call(edge: Edge, **metadata: str) -> None:
    assert await all_of(await edge.call(config(), close=True, **metadata)) == []


# ---- TLS ------------------------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_counts_for_new_connections_and_a_running_call_goes_on(tmp_path: Path) -> None:
    first, second = AUTHORITY.issue(), AUTHORITY.issue(rsa_bits=2_048)
    secret = Mounted(tmp_path, first.files)
    async with served(converses, credentials=trusting(AUTHORITY), environ=tls_keys(secret)) as edge:
        port = edge.gateway.calls.port
        assert edge.metric("tls_certificate_expiry_timestamp_seconds") == first.expires_at_s
        call = await edge.call(config())
        await says(call, "one")
        assert await asyncio.to_thread(shown_by, port) == first.serial

        secret.swap(second.files)
        edge.gateway.look()
        for _ in range(2):
            assert await asyncio.to_thread(shown_by, port) == second.serial
        async with channel_to(port, trusting(AUTHORITY)) as another:
            assert await state(another) == SERVING
        assert edge.metric("tls_certificate_expiry_timestamp_seconds") == second.expires_at_s
        assert edge.metric("credential_reloads_total", what="tls", result="applied") == 1

        secret.swap({"tls.crt": first.certificate, "tls.key": second.key})
        edge.gateway.look()
        assert await asyncio.to_thread(shown_by, port) == second.serial
        assert edge.metric("credential_reloads_total", what="tls", result="refused") == 1
        assert edge.metric("tls_certificate_expiry_timestamp_seconds") == second.expires_at_s

        await says(call, "two")
        call.cancel()


async def test_a_certificate_renewed_before_the_first_connection_is_shown(tmp_path: Path) -> None:
    renewed = AUTHORITY.issue()
    secret = Mounted(tmp_path, AUTHORITY.issue().files)
    async with served(credentials=trusting(AUTHORITY), environ=tls_keys(secret)) as edge:
        secret.swap(renewed.files)
        edge.gateway.look()
        assert await asyncio.to_thread(shown_by, edge.gateway.calls.port) == renewed.serial


async def test_many_connections_while_certificates_change(tmp_path: Path) -> None:
    secret = Mounted(tmp_path, AUTHORITY.issue().files)
    async with served(credentials=trusting(AUTHORITY), environ=tls_keys(secret)) as edge:

        async def connect() -> None:
            async with channel_to(edge.gateway.calls.port, trusting(AUTHORITY)) as channel:
                assert await state(channel) == SERVING

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                for _ in range(5):
                    tasks.create_task(connect())
                secret.swap(AUTHORITY.issue().files)
                edge.gateway.look()
                await asyncio.sleep(0)


async def test_without_tls_nobody_connects(tmp_path: Path) -> None:
    secret = Mounted(tmp_path, AUTHORITY.issue().files)
    async with served(environ=tls_keys(secret)) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await state(edge.channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def connects(port: int, own: Issued | None) -> bool:
    async with channel_to(port, trusting(AUTHORITY, own)) as channel:
        try:
            return bool(await state(channel) == SERVING)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


async def test_callers_show_a_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    secret = Mounted(tmp_path, {**AUTHORITY.issue().files, "ca.crt": CALLERS.pem})
    keys = tls_keys(secret, TLS_CLIENT_CA_FILE=secret.path("ca.crt"))
    async with served(credentials=trusting(AUTHORITY, CALLERS.issue("phone")), environ=keys) as edge:
        port = edge.gateway.calls.port
        assert await state(edge.channel) == SERVING
        assert not await connects(port, None)
        assert not await connects(port, AUTHORITY.issue("of another authority"))
        assert not await connects(port, CALLERS.issue("too old", valid=timedelta(days=-2)))
        successor = Authority("successor")
        secret.swap({**AUTHORITY.issue().files, "ca.crt": successor.pem})
        edge.gateway.look()
        assert await connects(port, successor.issue("phone"))
        assert not await connects(port, CALLERS.issue("phone"))


async def test_probes_ask_without_tls_on_a_port_of_their_own(tmp_path: Path) -> None:
    """Also while the gateway is full, and while it drains."""
    secret = Mounted(tmp_path, AUTHORITY.issue().files)
    keys = tls_keys(secret, HEALTH_LISTEN_ADDRESS="127.0.0.1:0", MAX_CALLS="1")
    async with served(converses, credentials=trusting(AUTHORITY), environ=keys) as edge:
        health_port = edge.gateway.calls.health_port
        assert health_port is not None
        async with channel_to(health_port) as probes:
            call = await edge.call(config())
            await says(call, "the only place is taken")
            for service in ("", "readiness", "liveness", "voice_workflow.VoiceGateway"):
                assert await state(probes, service) == SERVING, service
            stub: Any = pb_grpc.VoiceGatewayStub(probes)
            _, error = await refused(stub.StreamAudio(iter([]), timeout=WAIT_S))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED, "health, and nothing else"
            draining = asyncio.create_task(edge.gateway.drain(seconds=WAIT_S, resumable_seconds=5))
            await edge.runner.draining.wait()
            assert await state(probes, "readiness") == NOT_SERVING
            assert await state(probes, "liveness") == SERVING
            await call.done_writing()
            assert await draining


@pytest.mark.parametrize("broken", ["tls.crt", "tls.key"])
async def test_a_gateway_does_not_start_with_a_broken_pair(tmp_path: Path, broken: str) -> None:
    secret = Mounted(tmp_path, {**AUTHORITY.issue().files, broken: b"nothing"})
    with pytest.raises(SettingsError, match=rf"{broken} holds no PEM"):
        async with served(environ=tls_keys(secret)):
            pass


# ---- who may call ---------------------------------------------------------------------------------------------------


class Names:
    """A script that notes who calls."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.together = asyncio.Barrier(2)

    async def __call__(self, hello: Hello, transport: CallTransport) -> None:
        if hello.session_id == "together":
            await self.together.wait()
        self.seen.append(PRINCIPAL.get())


def api_keys(folder: Path, content: str = f"load:{KEY}\nphone:{OTHER}\n") -> dict[str, str]:
    file = folder / "keys"
    file.write_text(content)
    return {"AUTH_MODE": "api_key", "AUTH_API_KEYS_FILE": str(file)}


async def test_a_call_is_made_in_the_name_of_its_key(tmp_path: Path) -> None:
    names = Names()
    with capture_logs() as logs:
        await two_callers(names, tmp_path)
    assert sorted(names.seen) == ["load", "phone"]
    assert {entry["principal"] for entry in logs if entry["event"] == "call_started"} == {"load", "phone"}
    assert KEY not in str(logs)
    assert PRINCIPAL.get() == ""


async def two_callers(names: Names, tmp_path: Path) -> None:
    async with served(names, environ=api_keys(tmp_path)) as edge:
        both = [
            await edge.call(config(session_id="together"), close=True, x_api_key=KEY),
            await edge.call(config(session_id="together"), close=True, authorization=f"Bearer {OTHER}"),
        ]
        for call in both:
            await all_of(call)
        assert sorted(edge.runner.principals) == ["load", "phone"]


async def test_a_stranger_takes_no_place_and_learns_nothing(tmp_path: Path) -> None:
    async with served(converses, MAX_CALLS="1", environ=api_keys(tmp_path)) as edge:
        call = await edge.call(config(), x_api_key=KEY)
        await says(call, "the only place is taken")
        for call_as_stranger, reason in (
            (edge.call(), "missing"),
            (edge.call(x_api_key=KEY[:-1]), "unknown_key"),
        ):
            said, error = await refused(await call_as_stranger)
            status = rpc_status.from_call(error)
            info = ErrorInfo()
            assert status is not None
            assert status.details[0].Unpack(info)
            assert (error.code(), info.reason, said) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", [])
            assert (error.details() or "").count(".") == 1
            assert "load" not in str(error)
            assert edge.metric("auth_refusals_total", reason=reason) == 1
        assert edge.metric("calls_refused_total", reason="at_capacity") == 0
        _, error = await refused(await edge.call(config(), x_api_key=OTHER))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, "who is known is told that all places are taken"
        await call.done_writing()


async def test_health_asks_for_no_key_and_everything_else_does(tmp_path: Path) -> None:
    async with served(environ=api_keys(tmp_path)) as edge:
        assert await state(edge.channel, "readiness") == SERVING
        known = (("x-api-key", KEY),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.stub.CheckBackends(pb.CheckBackendsRequest(), timeout=WAIT_S)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await edge.stub.CheckBackends(pb.CheckBackendsRequest(), timeout=WAIT_S, metadata=known)
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(edge.channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reflection.ServerReflectionInfo(iter([asked]), timeout=WAIT_S).read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        listed = await reflection.ServerReflectionInfo(iter([asked]), timeout=WAIT_S, metadata=known).read()
        assert "voice_workflow.VoiceGateway" in {service.name for service in listed.list_services_response.service}


async def test_a_key_that_was_taken_away_ends_no_call_and_begins_none(tmp_path: Path) -> None:
    async with served(converses, environ=api_keys(tmp_path)) as edge:
        call = await edge.call(config(), x_api_key=KEY)
        await says(call, "one")
        (tmp_path / "keys").unlink()
        api_keys(tmp_path, f"phone:{OTHER}\n")
        edge.gateway.look()
        _, error = await refused(await edge.call(config(), x_api_key=KEY))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        await whole_call(edge, x_api_key=OTHER)
        await says(call, "two")
        call.cancel()


async def test_a_token_names_the_caller(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = tmp_path / "public.pem"
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    names = Names()
    environ = {"AUTH_MODE": "jwt", "AUTH_JWT_PUBLIC_KEY_FILE": str(public), "AUTH_JWT_AUDIENCE": "voice"}
    claims = {"sub": "caller-7", "aud": "voice", "exp": int(time.time()) + 60}
    async with served(names, environ=environ) as edge:
        await whole_call(edge, authorization=f"Bearer {jwt.encode(claims, key, algorithm='ES256')}")
        assert names.seen == ["caller-7"]
        late = jwt.encode({**claims, "exp": int(time.time()) - 60}, key, algorithm="ES256")
        _, error = await refused(await edge.call(authorization=f"Bearer {late}"))
        assert error.details() == "The token of this call has expired."
        assert edge.metric("auth_refusals_total", reason="expired") == 1


# ---- status pages ---------------------------------------------------------------------------------------------------


def page(edge: Edge, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{edge.gateway.metrics_port}{path}", timeout=WAIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def resume_key(name: str, byte: int) -> bytes:
    return name.encode() + b":" + base64.b64encode(bytes([byte]) * 32) + b"\n"


async def test_an_edit_of_the_resume_keys_is_seen_without_a_call_and_a_bad_one_is_told(tmp_path: Path) -> None:
    secret = Mounted(tmp_path, {"keys": resume_key("old", 1)})
    async with served(environ={"RESUME_KEYS_FILE": secret.path("keys")}) as edge:
        secret.swap({"keys": resume_key("old", 1) + resume_key("new", 2)})
        with capture_logs() as logs:
            edge.gateway.look()
        assert edge.metric("credential_reloads_total", what="resume_keys", result="applied") == 1
        assert [(line["sealing"], line["opening"]) for line in logs if line["event"] == "resume_keys"] == [
            ("old", ["new", "old"])
        ]
        secret.swap({"keys": b"new:short"})
        edge.gateway.look()
        assert edge.metric("credential_reloads_total", what="resume_keys", result="refused") == 1
        _, status = await asyncio.to_thread(page, edge, "/status")
        (problem,) = status["credentials"]["resume_keys"]["refusal"]["problems"]
        assert problem.startswith(f"Line 1 of {tmp_path}/keys is no key; allowed is ID:KEY")
        assert "short" not in problem


async def test_a_gateway_does_not_start_with_resume_keys_that_are_none(tmp_path: Path) -> None:
    secret = Mounted(tmp_path, {"keys": b"# none yet"})
    with pytest.raises(SettingsError, match=r"^RESUME_KEYS_FILE: .*/keys holds no key; allowed are lines ID:KEY\.$"):
        async with served(environ={"RESUME_KEYS_FILE": secret.path("keys")}):
            pass


async def test_the_status_page_tells_what_is_in_force(tmp_path: Path) -> None:
    issued = AUTHORITY.issue()
    secret = Mounted(tmp_path / "tls", issued.files)
    keys = {**tls_keys(secret), **api_keys(tmp_path), "MAX_CALLS": "1"}
    async with served(converses, credentials=trusting(AUTHORITY), environ=keys) as edge:
        call = await edge.call(config(), x_api_key=KEY)
        await says(call, "the only place is taken")
        code, status = await asyncio.to_thread(page, edge, "/status")
        assert code == 200
        assert status["calls"] == {"running": 1, "capacity": 1}
        assert (status["ready"], status["draining"], status["authenticated"]) == (True, False, True)
        assert status["config"]["last_refusal"] is None
        assert status["config"]["revision"]
        assert status["tls"]["certificate_expires_at"].startswith("20")
        assert (await asyncio.to_thread(page, edge, "/readyz"))[0] == 200, "a full gateway is ready"

        secret.swap({**issued.files, "tls.key": b""})
        edge.gateway.look()
        _, status = await asyncio.to_thread(page, edge, "/status")
        assert status["credentials"]["tls"]["refusal"]["problems"] == [
            f"{tmp_path}/tls/tls.key holds no PEM private key."
        ]
        assert KEY not in json.dumps(status)

        draining = asyncio.create_task(edge.gateway.drain(seconds=WAIT_S, resumable_seconds=5))
        await edge.runner.draining.wait()
        assert (await asyncio.to_thread(page, edge, "/readyz"))[0] == 503
        assert (await asyncio.to_thread(page, edge, "/healthz"))[0] == 200
        await call.done_writing()
        assert await draining

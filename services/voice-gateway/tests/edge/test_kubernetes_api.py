"""Requests to the Kubernetes API server, over TLS on loopback."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gateway_api_server import UID, ApiServer, account_token, api_server
from gateway_certificates import Authority

from voice_gateway.adapters import kubernetes_api
from voice_gateway.adapters.kubernetes_api import KubernetesApi, PodEvent, PodIdentity, RequestFailed, uid_of

pytestmark = pytest.mark.edge

AT = datetime(2030, 1, 2, 3, 4, 5, 678, UTC)
REFUSED = PodEvent("Warning", "ConfigRefused", "LLM_TEMPERATURE is 'hot'.")


def client(server: ApiServer) -> KubernetesApi:
    return KubernetesApi("127.0.0.1", server.port, PodIdentity("gateway-0", "voice-workflow"), account=server.account)


async def test_the_pod_is_annotated(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        await client(server).annotate({"controller.kubernetes.io/pod-deletion-cost": "7"})
        assert server.patches == [{"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "7"}}}]


async def test_an_event_names_the_pod_as_describe_looks_for_it(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        api = client(server)
        await api.post(REFUSED, name=api.named(), at=AT)
    (event,) = server.events
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "Pod", "name": "gateway-0", "namespace": "voice-workflow", "uid": UID,
    }  # fmt: skip
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "ConfigRefused", REFUSED.message)
    assert event["metadata"]["name"].startswith("gateway-0.")
    assert event["lastTimestamp"] == "2030-01-02T03:04:05Z"


async def test_an_event_that_is_there_already_is_as_good(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        api = client(server)
        name = api.named()
        await api.post(REFUSED, name=name, at=AT)
        await api.post(REFUSED, name=name, at=AT)
        assert (len(server.events), server.asked) == (1, 2)


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 301])
async def test_what_the_server_refuses_is_told(tmp_path: Path, status: int) -> None:
    async with api_server(tmp_path) as server:
        server.statuses = [status]
        with pytest.raises(RequestFailed, match=f"^HTTP {status}$") as caught:
            await client(server).annotate({"a": "b"})
        assert caught.value.status == status
        assert server.asked == 1, "a token goes nowhere else"


async def test_a_token_that_was_renewed_is_used(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        api = client(server)
        await api.annotate({"a": "1"})
        server.rotate(2)
        await api.annotate({"a": "2"})
        assert len(server.patches) == 2


async def test_a_server_of_another_authority_is_given_no_token(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        (server.account / "ca.crt").write_bytes(Authority("another").pem)
        with pytest.raises(RequestFailed, match=r"^no answer: ClientConnectorCertificateError$"):
            await client(server).annotate({"a": "b"})
        assert server.asked == 0


async def test_a_missing_token_and_a_missing_server_are_told(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        api = client(server)
        (server.account / "token").unlink()
        with pytest.raises(RequestFailed, match=r"^no answer: FileNotFoundError$"):
            await api.annotate({"a": "b"})
        server.rotate(1)
    with pytest.raises(RequestFailed, match=r"^no answer: ClientConnectorError$"):
        await api.annotate({"a": "b"})


@pytest.mark.parametrize("token", [b"\xff\xfe", b"one\r\nHost: another"])
async def test_a_token_that_no_request_can_carry_is_told_and_not_shown(token: bytes, tmp_path: Path) -> None:
    """Anything else than RequestFailed would end the reports for good."""
    async with api_server(tmp_path) as server:
        (server.account / "token").write_bytes(token)
        with pytest.raises(RequestFailed, match=r"^no answer: \w+Error$"):
            await client(server).annotate({"a": "b"})
        assert server.asked == 0


async def test_a_server_that_does_not_answer_is_left(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        server.slow = asyncio.Event()
        request = asyncio.create_task(
            KubernetesApi(
                "127.0.0.1", server.port, PodIdentity("gateway-0", "voice-workflow"), account=server.account,
                timeout_s=0.2,
            ).annotate({"a": "b"})
        )  # fmt: skip
        with pytest.raises(RequestFailed, match=r"^no answer within 0\.2 s$"):
            await request
        server.slow.set()


def test_a_token_of_another_form_names_no_pod() -> None:
    assert uid_of(account_token()) == UID
    for token in ("", "a.b.c", "opaque", "e30.e30.e30"):
        assert uid_of(token) == ""


def test_a_long_message_is_cut_where_a_character_ends() -> None:
    cut = kubernetes_api._cut("ü" * 1_000)
    assert cut == "ü" * 510 + "…"
    assert len(cut.encode()) <= kubernetes_api.MAX_MESSAGE_BYTES


@pytest.mark.parametrize("host", ["10.96.0.1", "fd00::1"])
def test_the_server_may_have_either_kind_of_address(host: str, tmp_path: Path) -> None:
    api = KubernetesApi(host, 443, PodIdentity("p", "n"), account=tmp_path)
    assert api._base_url == ("https://[fd00::1]:443" if ":" in host else "https://10.96.0.1:443")

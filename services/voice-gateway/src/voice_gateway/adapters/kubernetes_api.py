"""The two requests that a gateway makes to the Kubernetes API server: about its own pod, as its service account.

Token and authority are read again for each request: the kubelet renews a token within the hour, and a request goes out
every few seconds at most, so no connection is kept.
"""

import asyncio
import base64
import json
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import aiohttp

REQUEST_TIMEOUT_S = 5.0

MAX_MESSAGE_BYTES = 1_024
"""Of an event (kubernetes/pkg/apis/core/validation: NoteLengthLimit)."""

COMPONENT = "voice-gateway"

FORBIDDEN = 403
CONFLICT = 409


class RequestFailed(Exception):
    """The API server did not do what it was asked. The text is for the log, and holds nothing of the token."""

    def __init__(self, why: str, *, status: int = 0) -> None:
        super().__init__(why)
        self.status = status
        """Of HTTP; 0 where there was no answer."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Which pod this process runs in."""

    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class PodEvent:
    """What happened, for `kubectl describe pod` and `kubectl get events`."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


class KubernetesApi:
    """Speaks for one pod."""

    def __init__(
        self, host: str, port: int, pod: PodIdentity, *, account: Path, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> None:
        """`account` is the folder that holds `token` and `ca.crt`."""
        self._base_url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._pod = pod
        self._account = account
        self._timeout_s = timeout_s

    async def annotate(self, annotations: dict[str, str]) -> None:
        """Set annotations of the pod. Raises RequestFailed."""
        path = f"/api/v1/namespaces/{self._pod.namespace}/pods/{self._pod.name}"
        body = {"metadata": {"annotations": annotations}}
        await self._request("PATCH", path, lambda _token: body, "application/merge-patch+json")

    def named(self) -> str:
        """A name for an event that no other has; with it an event may be posted again without being there twice."""
        return f"{self._pod.name[:200].rstrip('-.')}.{secrets.token_hex(8)}"

    async def post(self, event: PodEvent, *, name: str, at: datetime) -> None:
        """Post an event about the pod. One that is there already is as good. Raises RequestFailed."""
        path = f"/api/v1/namespaces/{self._pod.namespace}/events"
        try:
            await self._request("POST", path, lambda token: self._event(event, name, at, token), "application/json")
        except RequestFailed as error:
            if error.status != CONFLICT:
                raise

    async def _request(self, method: str, path: str, body: Any, content_type: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                token, context = await asyncio.to_thread(self._credentials)
                headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type, "User-Agent": COMPONENT}
                async with (
                    aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
                    session.request(
                        method,
                        self._base_url + path,
                        data=json.dumps(body(token)).encode(),
                        headers=headers,
                        allow_redirects=False,
                    ) as response,
                ):
                    status = response.status
        except TimeoutError as error:
            raise RequestFailed(f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a token that no header can carry
            raise RequestFailed(f"no answer: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise RequestFailed(f"HTTP {status}", status=status)

    def _credentials(self) -> tuple[str, ssl.SSLContext]:
        token = (self._account / "token").read_text(encoding="ascii").strip()
        context = ssl.create_default_context(cafile=str(self._account / "ca.crt"))
        # Python 3.13 asks for extensions that certificates of many clusters lack (kubernetes-client/python#2394).
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return token, context

    def _event(self, event: PodEvent, name: str, at: datetime, token: str) -> dict[str, Any]:
        """An Event of core/v1. `kubectl describe pod` shows those only that name the pod's uid."""
        pod = self._pod
        stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "namespace": pod.namespace, "uid": uid_of(token)}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": pod.namespace},
            "involvedObject": about,
            "type": event.kind,
            "reason": event.reason,
            "message": _cut(event.message),
            "source": {"component": COMPONENT},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "reportingComponent": COMPONENT,
            "reportingInstance": pod.name,
        }


def uid_of(token: str) -> str:
    """The pod's uid, which a token that the kubelet mounts says (KEP-1205, bound service account tokens); else empty.

    The token is our own, so its signature is nobody's concern here.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["kubernetes.io"]["pod"]["uid"])
    except (IndexError, KeyError, TypeError, ValueError):
        return ""


def _cut(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return message
    return encoded[: MAX_MESSAGE_BYTES - 3].decode(errors="ignore") + "…"

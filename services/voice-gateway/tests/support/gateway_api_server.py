"""A small API server on loopback, over TLS, that answers about one pod as Kubernetes' does."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from gateway_certificates import Authority

UID = "8f3c2a4e-0000-4000-8000-000000000001"


def account_token(number: int = 1) -> str:
    """A token as the kubelet mounts it: its claims name the pod."""
    claims = {"kubernetes.io": {"pod": {"name": "gateway-0", "uid": UID}}, "number": number}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


@dataclass
class ApiServer:
    """What it was asked, and what it shall say."""

    account: Path
    port: int = 0
    token: str = ""
    statuses: list[int] = field(default_factory=list)
    """Of the next answers; then requests do well."""
    patches: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    slow: asyncio.Event | None = None
    """While set, answers wait for it."""

    def rotate(self, number: int) -> None:
        """Another token, as the kubelet renews it."""
        self.token = account_token(number)
        (self.account / "token").write_text(self.token)

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        self.asked += 1
        if self.slow is not None:
            await self.slow.wait()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401)
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return _status(status)
        body = await request.json()
        if request.method == "PATCH":
            if request.content_type != "application/merge-patch+json":
                return _status(415)
            self.patches.append(body)
            return web.json_response({"kind": "Pod"})
        if any(body["metadata"]["name"] == event["metadata"]["name"] for event in self.events):
            return _status(409)
        self.events.append(body)
        return web.json_response(body, status=201)


def _status(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "status": "Failure", "code": code}, status=code)


@asynccontextmanager
async def api_server(folder: Path) -> AsyncIterator[ApiServer]:
    """Serves until the context is left; `folder` gets the service account's files."""
    authority = Authority("cluster")
    issued = authority.issue("kube-apiserver")
    account = folder / "account"
    account.mkdir()
    (account / "ca.crt").write_bytes(authority.pem)
    (folder / "server.pem").write_bytes(issued.certificate + issued.key)
    server = ApiServer(account)
    server.rotate(1)
    application = web.Application()
    pod = "/api/v1/namespaces/voice-workflow/pods/gateway-0"
    application.router.add_patch(pod, server.answer)
    application.router.add_post("/api/v1/namespaces/voice-workflow/events", server.answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()

"""GET /metrics for Prometheus, and other pages: a few lines of HTTP/1.1, so that no second server runs in a thread
beside the loop.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

REQUEST_TIMEOUT_S = 5.0
MAX_REQUEST_BYTES = 16_384

Page: TypeAlias = Callable[[], tuple[bool, Mapping[str, Any]]]
"""What is shown as JSON, and whether all is well: 200, or 503 where it is not."""

NO_PAGES: Mapping[str, Page] = {}


@asynccontextmanager
async def serving_metrics(
    registry: CollectorRegistry, host: str, port: int, pages: Mapping[str, Page] = NO_PAGES
) -> AsyncIterator[int]:
    """Serve `registry`, and `pages` by path, and give the bound port. Raises OSError where the address can't be had."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(registry, pages, head.decode("latin-1")))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # who does not finish asking gets no answer
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=MAX_REQUEST_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _response(registry: CollectorRegistry, pages: Mapping[str, Page], head: str) -> bytes:
    request, *lines = head.split("\r\n")
    method, _, rest = request.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if path not in {"/metrics", "/", *pages}:
        return _whole("404 Not Found", "text/plain", b"The metrics are at /metrics.\n")
    if method not in {"GET", "HEAD"}:
        return _whole("405 Method Not Allowed", "text/plain", b"Only GET is answered.\n")
    if path in pages:
        well, shown = pages[path]()
        body = (json.dumps(shown, indent=2, ensure_ascii=False) + "\n").encode()
        status = "200 OK" if well else "503 Service Unavailable"
        return _whole(status, "application/json", body if method == "GET" else b"", length=len(body))
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    encode, content_type = choose_encoder(headers.get("accept", ""))
    body = encode(registry)
    return _whole("200 OK", content_type, body if method == "GET" else b"", length=len(body))


def _whole(status: str, content_type: str, body: bytes, *, length: int | None = None) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body

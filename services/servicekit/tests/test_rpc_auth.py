"""The authentication interceptor on real gRPC, with handlers of every shape."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from servicekit.rpc_auth import PRINCIPAL, AuthInterceptor, Metadata
from servicekit.rpc_errors import ErrorInterceptor, RpcStatus

pytestmark = pytest.mark.edge


class Unknown(Exception):
    """Nobody knows who calls."""


def by_name(metadata: Metadata) -> str:
    name = dict(metadata).get("name")
    if name == "broken":
        raise ValueError("a bug")
    if not isinstance(name, str):
        raise Unknown
    return name


def to_status(error: BaseException) -> RpcStatus | None:
    unknown = RpcStatus(grpc.StatusCode.UNAUTHENTICATED, "Who are you?", "UNAUTHENTICATED")
    return unknown if isinstance(error, Unknown) else None


async def unary(_request: bytes, _context: Any) -> bytes:
    await asyncio.sleep(0)
    return PRINCIPAL.get().encode()


async def stream(_request: Any, _context: Any) -> AsyncIterator[bytes]:
    yield PRINCIPAL.get().encode()


HANDLERS: dict[str, Any] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler(unary),
    "unary_stream": grpc.unary_stream_rpc_method_handler(stream),
    "stream_unary": grpc.stream_unary_rpc_method_handler(unary),
    "stream_stream": grpc.stream_stream_rpc_method_handler(stream),
}


async def ask(channel: grpc.aio.Channel, shape: str, service: str, metadata: Any) -> bytes:
    method: Any = getattr(channel, shape)(f"/{service}/{shape}")
    call = method(iter([b"x"]) if shape.startswith("stream") else b"x", metadata=metadata, timeout=20)
    if shape.endswith("stream"):
        answers = [answer async for answer in call]
        return b"".join(answers)
    answer: bytes = await call
    return answer


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    interceptors = [
        ErrorInterceptor(to_status, domain="test"),
        AuthInterceptor(by_name, open_services=["open.Service"]),
    ]
    server = grpc.aio.server(interceptors=interceptors)
    for service in ("open.Service", "closed.Service"):
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, HANDLERS)])
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
            yield channel
    finally:
        await server.stop(0)


@pytest.mark.parametrize("shape", HANDLERS)
async def test_the_handler_knows_the_principal_and_a_stranger_does_not_reach_it(
    channel: grpc.aio.Channel, shape: str
) -> None:
    asked = [ask(channel, shape, "closed.Service", [("name", f"n{number}")]) for number in range(20)]
    assert await asyncio.gather(*asked) == [f"n{number}".encode() for number in range(20)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, shape, "closed.Service", [])
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "Who are you?")
    assert await ask(channel, shape, "open.Service", []) == b""


async def test_a_fault_lets_nobody_in(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, "unary_unary", "closed.Service", [("name", "broken")])
    assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_a_method_that_is_not_there_is_not_there_for_anybody(channel: grpc.aio.Channel) -> None:
    method: Any = channel.unary_unary("/closed.Service/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

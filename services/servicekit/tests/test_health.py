"""The health service on real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.health import SERVICE_NAME, Health

pytestmark = pytest.mark.edge

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@asynccontextmanager
async def served(health: Health, tmp_path: Path) -> AsyncIterator[tuple[grpc.aio.Server, Any]]:
    server = grpc.aio.server()
    health.add_to(server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
            yield server, health_pb2_grpc.HealthStub(channel)
    finally:
        await server.stop(0)


def asked(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


async def next_of(watch: Any) -> int:
    answer = await asyncio.wait_for(watch.read(), 20)
    return int(answer.status)


async def test_check_answers_per_service(tmp_path: Path) -> None:
    health = Health()
    health.set("", True)
    health.set("liveness", True)
    async with served(health, tmp_path) as (_, stub):
        assert (await stub.Check(asked(""))).status == SERVING
        health.set("", False)
        assert (await stub.Check(asked(""))).status == NOT_SERVING
        assert (await stub.Check(asked("liveness"))).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(asked("nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert SERVICE_NAME == "grpc.health.v1.Health"


async def test_a_watcher_goes_on_when_another_leaves(tmp_path: Path) -> None:
    health = Health()
    health.set("", True)
    async with served(health, tmp_path) as (_, stub):
        leaving, staying = stub.Watch(asked("")), stub.Watch(asked(""))
        assert [await next_of(leaving), await next_of(staying)] == [SERVING, SERVING]
        leaving.cancel()
        health.set("", False)
        assert await next_of(staying) == NOT_SERVING


async def test_a_watched_service_may_appear_later(tmp_path: Path) -> None:
    health = Health()
    async with served(health, tmp_path) as (_, stub):
        watch = stub.Watch(asked("late"))
        assert await next_of(watch) == SERVICE_UNKNOWN
        health.set("other", True)
        health.set("late", True)
        assert await next_of(watch) == SERVING


async def test_after_shutdown_watchers_are_told_and_let_go(tmp_path: Path) -> None:
    health = Health()
    health.set("", True)
    async with served(health, tmp_path) as (server, stub):
        watch = stub.Watch(asked(""))
        assert await next_of(watch) == SERVING
        await health.shutdown()
        health.set("", True)
        health.set("new", True)
        assert await next_of(watch) == NOT_SERVING
        assert await asyncio.wait_for(watch.read(), 20) is grpc.aio.EOF
        assert (await stub.Check(asked("new"))).status == NOT_SERVING
        # No stream holds the server back: with one left this waits for the grace period, and the test's time-out.
        await server.stop(600)

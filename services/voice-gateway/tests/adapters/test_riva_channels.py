"""ChannelPool against real gRPC servers."""

import asyncio
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

import grpc
import grpc.aio
import pytest
from gateway_scripted_riva import ScriptedRiva, serving
from gateway_test_certificate import CERTIFICATE, KEY

from voice_gateway.adapters.riva_asr import RivaAsr
from voice_gateway.adapters.riva_channels import ChannelPool, RivaEndpoint, channel_options
from voice_gateway.application.ports import AsrRequest
from voice_gateway.domain.errors import BackendUnavailable

pytestmark = pytest.mark.edge

REQUEST = AsrRequest(16_000, "en-US")


def the_channel(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    return channel


async def test_grows_when_channels_are_full_and_takes_the_emptiest() -> None:
    pool = ChannelPool(RivaEndpoint("127.0.0.1:1", streams_per_channel=2, max_channels=3), the_channel)
    pool.warm()
    pool.warm()
    assert pool.channels == 1
    with ExitStack() as leases:
        for _ in range(6):
            leases.enter_context(pool.lease())
        assert (pool.channels, pool.streams) == (3, 6)
        # All are full and no more may be made: the seventh shares one.
        leases.enter_context(pool.lease())
        assert (pool.channels, pool.streams) == (3, 7)
    assert pool.streams == 0
    with pool.lease() as one, pool.lease() as other:
        assert one is not other
    await pool.close()
    assert pool.channels == 0


async def test_each_channel_is_a_connection_of_its_own() -> None:
    """The server takes three streams on a connection: with shared connections, the fourth would wait for ever."""
    peers: list[str] = []
    all_here = asyncio.Event()

    async def handle(riva: ScriptedRiva, context: Any) -> None:
        peers.append(context.peer())
        if len(peers) == 9:
            all_here.set()
        await all_here.wait()

    riva = ScriptedRiva(handle)
    async with serving(riva, options=[("grpc.max_concurrent_streams", 3)]) as target:
        asr = RivaAsr(RivaEndpoint(target, streams_per_channel=3))
        async with AsyncExitStack() as streams:
            for _ in range(9):
                await streams.enter_async_context(asr.open(REQUEST))
            await asyncio.wait_for(all_here.wait(), 5)
        await asr.close()
    assert sorted(peers.count(peer) for peer in set(peers)) == [3, 3, 3]


async def test_a_server_that_comes_back_is_found_again() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)

    async def use() -> None:
        async with asr.open(REQUEST) as stream:
            assert [result async for result in stream.results()] == []

    async with serving(ScriptedRiva(handle)) as target:
        asr = RivaAsr(RivaEndpoint(target))
        await use()
    with pytest.raises(BackendUnavailable):
        await use()
    async with serving(ScriptedRiva(handle), address=target), asyncio.timeout(10):
        for _ in range(1000):
            with suppress(BackendUnavailable):
                await use()
                break
            await asyncio.sleep(0.01)
        await use()
    await asr.close()


async def test_tls_with_an_own_authority() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)

    credentials = grpc.ssl_server_credentials([(KEY, CERTIFICATE)])
    riva = ScriptedRiva(handle)
    async with serving(riva, credentials) as target:
        trusting = RivaAsr(RivaEndpoint(target, tls=True, ca_certificate_pem=CERTIFICATE, api_key="k"))
        async with trusting.open(REQUEST) as stream:
            assert [result async for result in stream.results()] == []
        await trusting.close()
        stranger = RivaAsr(RivaEndpoint(target, tls=True))
        with pytest.raises(BackendUnavailable):
            async with stranger.open(REQUEST) as stream:
                await anext(stream.results())
        await stranger.close()
    assert [pair for pair in riva.metadata if pair[0] == "authorization"] == [("authorization", "Bearer k")]


def test_pings_are_rare_enough_for_a_server_that_is_not_ours() -> None:
    assert dict(channel_options(RivaEndpoint("x"), number=0))["grpc.keepalive_time_ms"] >= 300_000  # type: ignore[operator]
    assert "grpc.keepalive_time_ms" not in dict(channel_options(RivaEndpoint("x", keepalive_ms=0), number=0))


def test_keys_are_not_shown() -> None:
    assert "secret" not in repr(RivaEndpoint("x", api_key="secret"))

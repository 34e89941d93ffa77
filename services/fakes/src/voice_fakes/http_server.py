"""An aiohttp application on a port of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

SHUTDOWN_S = 0.2  # a fake owes nobody the rest of an answer


@asynccontextmanager
async def serving(app: web.Application, listen_address: str) -> AsyncIterator[int]:
    """Listens on host:port inside the block and gives the port. Raises OSError when it cannot be bound."""
    # handler_cancellation: a caller who hangs up shows at once, not at the next write.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S, access_log=None)
    await runner.setup()
    try:
        host, _, port = listen_address.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()

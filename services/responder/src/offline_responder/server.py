"""Puts the responder together: the only file that knows every part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from offline_responder.adapters.clock import SystemClock
from offline_responder.adapters.http import ChatApi, ChatOptions
from offline_responder.application.completion import Pace
from offline_responder.settings import ResponderSettings
from servicekit.settings import split_address


@dataclass(frozen=True)
class Running:
    host: str
    port: int

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What LLM_BASE_URL wants."""
        return f"http://{self.address}/v1"


@asynccontextmanager
async def serving(settings: ResponderSettings) -> AsyncIterator[Running]:
    """Listens inside the block. On leaving, readiness turns false, and answers under way get `shutdown_grace_s`.

    Raises OSError when the address cannot be bound.
    """
    pace = Pace(first_token_ms=settings.first_token_ms, token_interval_ms=settings.token_interval_ms)
    api = ChatApi(ChatOptions(aliases=settings.model_aliases, pace=pace), SystemClock())
    # handler_cancellation: a caller who hangs up ends the answer in the middle of a wait, not at the next write.
    runner = web.AppRunner(
        api.application(), handler_cancellation=True, shutdown_timeout=settings.shutdown_grace_s, access_log=None
    )
    await runner.setup()
    try:
        host, port = split_address(settings.listen_address)
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        yield Running(host=host, port=int(bound[1]))
    finally:
        api.ready = False
        # The runner itself ends handlers that outlive the grace; the second bound is for sockets that do not close.
        async with asyncio.timeout(settings.shutdown_grace_s + 5):
            await runner.cleanup()

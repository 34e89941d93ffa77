"""A fake NIM: an OpenAI-compatible chat server."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from voice_fakes.adapters.llm import FakeChat
from voice_fakes.http_server import serving
from voice_fakes.log import EventLog
from voice_fakes.script import Script


class FakeLlm:
    """`async with FakeLlm(script) as llm:` then `llm.base_url` and `llm.log`. Raises OSError when it cannot listen."""

    def __init__(
        self, script: Script | None = None, *, log: EventLog | None = None, listen_address: str = "127.0.0.1:0"
    ) -> None:
        self.log = EventLog() if log is None else log
        self._listen_address = listen_address
        self._chat = FakeChat((script or Script()).llm, self.log)
        self._stack = AsyncExitStack()
        self.port = 0

    @property
    def address(self) -> str:
        return f"{self._listen_address.rpartition(':')[0]}:{self.port}"

    @property
    def base_url(self) -> str:
        """As LLM_BASE_URL wants it."""
        return f"http://{self.address}/v1"

    def use(self, script: Script) -> None:
        """Plays `script` for requests that arrive from now on."""
        self._chat.use(script.llm)

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(serving(self._chat.application(), self._listen_address))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

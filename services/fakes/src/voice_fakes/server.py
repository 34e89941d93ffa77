"""All fakes in one process, sharing a script, a log and a control endpoint."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from voice_fakes.adapters.control import Control
from voice_fakes.http_server import serving
from voice_fakes.llm import FakeLlm
from voice_fakes.log import EventLog
from voice_fakes.riva import FakeRiva
from voice_fakes.script import Script


@dataclass(frozen=True)
class FakesOptions:
    """Addresses are host:port; None leaves that fake out."""

    riva: str | None = "127.0.0.1:0"
    llm: str | None = "127.0.0.1:0"
    control: str | None = None
    log_path: Path | None = None


@dataclass(frozen=True)
class RunningFakes:
    """Ports are 0 for what was left out."""

    riva_port: int
    llm_port: int
    control_port: int
    log: EventLog


@asynccontextmanager
async def serving_fakes(script: Script, options: FakesOptions) -> AsyncIterator[RunningFakes]:
    """Raises OSError or RuntimeError when an address cannot be bound or the log file cannot be opened."""
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(EventLog(options.log_path))
        riva = llm = None
        control_port = 0
        if options.riva is not None:
            riva = await stack.enter_async_context(FakeRiva(script, log=log, listen_address=options.riva))
        if options.llm is not None:
            llm = await stack.enter_async_context(FakeLlm(script, log=log, listen_address=options.llm))

        def use(changed: Script) -> None:
            for fake in (riva, llm):
                if fake is not None:
                    fake.use(changed)

        if options.control is not None:
            control = Control(script, log, use)
            control_port = await stack.enter_async_context(serving(control.application(), options.control))
        yield RunningFakes(riva.port if riva else 0, llm.port if llm else 0, control_port, log)

"""Virtual time and free ports, for tests."""

import asyncio
import selectors
import socket
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_ASYNCIO = str(Path(asyncio.__file__).parent)

DEFAULT_LIMIT_S = 24 * 3600.0


class VirtualTimeError(AssertionError):
    """A test on virtual time cannot go on, or left something behind."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while something is ready, and then jumps to the next timer.

    Never for real gRPC or other I/O: the clock would run ahead of it, and time-outs would be false.
    """

    def __init__(self, *, limit_s: float = DEFAULT_LIMIT_S) -> None:
        self._virtual_s = 0.0
        super().__init__(_JumpingSelector(self._jump))
        self._limit_s = limit_s
        self.unhandled: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.unhandled.append(context))

    def time(self) -> float:
        return self._virtual_s

    def run_in_executor(self, _executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Call `func` here and now: a thread would race with the jumping clock."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(error)
        return future

    def _jump(self, timeout_s: float | None) -> None:
        if timeout_s is None:
            waiting = "; ".join(sorted(_where(task) for task in asyncio.all_tasks(self)))
            raise VirtualTimeError(f"nothing is ready and no timer is set. Waiting: {waiting}")
        self._virtual_s += max(0.0, timeout_s)
        if self._virtual_s > self._limit_s:
            raise VirtualTimeError(f"still running after {self._limit_s:g} s of virtual time")


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at files without waiting; in place of the wait, the clock jumps."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._jump(timeout)
        return ready


def _where(task: "asyncio.Task[Any]") -> str:
    """Name of a task and the innermost line of ours that it waits at."""
    waiting: Any = task.get_coro()
    place = ""
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith(_ASYNCIO):
            place = f" in {frame.f_code.co_qualname} line {frame.f_lineno}"
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return task.get_name() + place


def run_virtual(main: Coroutine[Any, Any, T], *, limit_s: float = DEFAULT_LIMIT_S) -> T:
    """Run `main` on virtual time, from 0 s.

    Raises `VirtualTimeError` on a deadlock, past `limit_s`, and where a task is left running or failed unseen.
    """
    loop = VirtualTimeLoop(limit_s=limit_s)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(_watched(main))
    if loop.unhandled:
        raise VirtualTimeError(f"unhandled: {_told(loop.unhandled[0])}")
    return result


async def _watched(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    # What was cancelled or closed last gets the chance to end.
    for _ in range(3):
        await asyncio.sleep(0)
    this = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not this]
    if left:
        raise VirtualTimeError("left running: " + "; ".join(sorted(_where(task) for task in left)))
    return result


def _told(context: Mapping[str, Any]) -> str:
    return f"{context.get('message')} {context.get('exception')!r}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago. Prefer port 0 where the server can say what it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The worker's side of engine processes: a pool that is always being refilled."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from servicekit.logs import get_logger
from speech_worker.domain.errors import EngineFailed, EngineUnusable
from speech_worker.engines import wire

START_DEADLINE_S: Final = 60.0  # loading a large dictionary on a busy small machine
FORK_DEADLINE_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 5.0  # between attempts to bring a dead engine back

_log = get_logger("speech_worker.child")


@dataclass(frozen=True)
class ChildSpec:
    """`module` is imported by the engine process; `config` is its `prepare` argument, as JSON."""

    module: str
    config: Mapping[str, Any]
    size: int


class Child:
    """One engine process. Used by one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self._reader = reader
        self._writer = writer
        self.pid = pid
        self.failed = False

    @property
    def alive(self) -> bool:
        return not (self.failed or self._reader.at_eof() or self._writer.is_closing())

    async def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Raises EngineFailed when the process is gone."""
        try:
            self._writer.write(wire.frame(kind, payload))
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise self._gone() from error

    async def receive(self, *, deadline_s: float) -> tuple[bytes, bytes]:
        """Raises EngineFailed when the process is gone, or silent for longer than the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                kind, length = wire.HEADER.unpack(await self._reader.readexactly(wire.HEADER.size))
                if length > wire.MAX_PAYLOAD_BYTES:
                    raise self._gone()
                return kind, await self._reader.readexactly(length)
        except TimeoutError as error:
            self.failed = True
            raise EngineFailed("The speech engine did not answer in time.") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise self._gone() from error

    def kill(self) -> None:
        """At once, whatever it is doing."""
        self.failed = True
        self._writer.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        # A copy whose zygote died is a child of process 1, and in a container that is this process. One that has not
        # ended yet stays on the list of processes until the container ends.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def _gone(self) -> EngineFailed:
        self.failed = True
        return EngineFailed("The speech engine stopped in the middle of the request.")


class ChildPool:
    """Keeps `size` engine processes ready. One that dies is replaced in the background."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        self._idle: deque[Child] = deque()
        self._busy: set[Child] = set()
        self._changed = asyncio.Event()  # something left the pool, or came back to it
        self._control: socket.socket | None = None
        self._zygote: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.info: dict[str, Any] = {}

    async def start(self) -> None:
        """Raises EngineUnusable with the sentence of the engine's own `prepare`."""
        await self._start_zygote()
        try:
            await self._fill()
        except EngineFailed as error:
            await self.stop()
            raise EngineUnusable(f"The engine processes of {self._spec.module} did not start: {error}") from error
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self._spec.module}")

    def take(self) -> Child | None:
        """An idle process, or None at once."""
        while self._idle:
            child = self._idle.popleft()
            if child.alive:
                self._busy.add(child)
                return child
            self._drop(child)
        return None

    async def take_within(self, deadline_s: float) -> Child | None:
        """Wait for one, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while (child := self.take()) is None:
                    changed = self._changed
                    await changed.wait()
                return child
        return None

    def give_back(self, child: Child) -> None:
        """Safe to call twice. A process that failed is killed and replaced."""
        if child not in self._busy:
            return
        self._busy.discard(child)
        if child.alive:
            self._idle.append(child)
            self._signal()
        else:
            self._drop(child)

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        for child in (*self._idle, *self._busy):
            child.kill()
        self._idle.clear()
        self._busy.clear()
        await self._stop_zygote()

    def _drop(self, child: Child) -> None:
        child.kill()
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _keep(self) -> None:
        pause_s = 0.1
        while True:
            changed = self._changed
            try:
                if self._zygote is None or self._zygote.returncode is not None:
                    await self._stop_zygote()
                    await self._start_zygote()
                await self._fill()
                pause_s = 0.1
            except (EngineFailed, EngineUnusable) as error:
                _log.error("engine_process_not_replaced", module=self._spec.module, error=str(error))
                await self._stop_zygote()
                await asyncio.sleep(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
                continue
            await changed.wait()

    async def _fill(self) -> None:
        for child in [child for child in self._idle if not child.alive]:
            self._idle.remove(child)
            child.kill()
        while len(self._idle) + len(self._busy) < self._spec.size:
            self._idle.append(await self._fork())
            self._signal()

    async def _start_zygote(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            config = json.dumps({**self._spec.config, "parent_pid": os.getpid()})
            # Threads that a numeric library starts while loading would not survive the fork.
            environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            self._zygote = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "speech_worker.engines.zygote", str(theirs.fileno()), self._spec.module, config,
                pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                env=environ,
            )  # fmt: skip
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        kind, payload = await self._read_info(ours)
        if kind != wire.HELLO:
            await self._stop_zygote()
            raise EngineUnusable(json.loads(payload)["message"] if payload else "The engine process ended at once.")
        self.info = json.loads(payload)

    async def _read_info(self, control: socket.socket) -> tuple[bytes, bytes]:
        """The zygote's one message. The socket is read by hand: file descriptors go out on it later."""
        loop = asyncio.get_running_loop()
        data = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(START_DEADLINE_S):
                while True:
                    if len(data) >= wire.HEADER.size:
                        kind, length = wire.HEADER.unpack_from(data)
                        if len(data) >= wire.HEADER.size + length:
                            return kind, data[wire.HEADER.size :]
                    part = await loop.sock_recv(control, 65536)
                    if not part:
                        break
                    data += part
        return b"", b""

    async def _fork(self) -> Child:
        assert self._control is not None
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise EngineFailed("the process that makes them is gone") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        child = Child(reader, writer, 0)
        try:
            _, payload = await child.receive(deadline_s=FORK_DEADLINE_S)
        except BaseException:
            writer.close()
            raise
        child.pid = json.loads(payload)["pid"]
        return child

    async def _stop_zygote(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            with suppress(ProcessLookupError):
                self._zygote.kill()
            await self._zygote.wait()
            self._zygote = None

"""A network of our own for what no program can do to a connection: packets that are lost, late, or all gone.

Two network namespaces and a line between them that passes through this process (a TUN device at each end), so that
nothing of the machine's own network is touched, and no kernel module for traffic control is needed. A line that is down
resets nothing: either end sends into the void, as through a firewall that has forgotten the connection, or a node that
is gone.

The namespaces have no names. They live as long as a process in them, and the one that holds each ends when its standard
input does: whatever happens to this process, nothing stays behind. Needs root, `ip` (iproute2), `unshare` and `nsenter`
(util-linux) and /dev/net/tun; `possible` says whether all that is there and allowed.
"""

import contextlib
import ctypes
import fcntl
import functools
import heapq
import os
import random
import selectors
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
"""linux/if_tun.h: a device that gives whole IP packets, without a header before them."""
CLONE_NEWNET = 0x40000000
"""linux/sched.h."""
MOST_WAITING = 10_000
"""Packets on the line; more are lost, as in any queue."""
LARGEST_PACKET = 65_536
SETTLE_S = 5.0


class Namespace:
    """A network namespace without a name, its loopback up. `close` lets go of it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            own, until = _namespace_of("self"), time.monotonic() + SETTLE_S
            while _namespace_of(self.pid) == own:
                if self._holder.poll() is not None or time.monotonic() > until:
                    raise OSError("no network namespace can be made here")
                time.sleep(0.002)
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process that holds it."""
        return self._holder.pid

    @property
    def entering(self) -> tuple[str, ...]:
        """What goes before a command that is to run in it."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def enter(self) -> None:
        """Move this thread into it, and threads and processes that it starts. There is no way back."""
        handle = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(handle)

    def ip(self, *arguments: str) -> None:
        """Run `ip` in it. Raises OSError with what it says."""
        _run(*self.entering, "ip", *arguments)

    def close(self) -> None:
        """Let go of it: it ends with the last process in it."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        try:
            self._holder.wait(SETTLE_S)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()


def _namespace_of(pid: int | str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:  # it has ended
        return ""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SETTLE_S, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


@dataclass(slots=True)
class Weather:
    """What happens to packets. It may be changed at any time."""

    down: bool = False
    """All of them are lost."""
    loss: float = 0.0
    """Share that is lost, each way."""
    delay_s: float = 0.0
    """On the way, each way."""


@dataclass(slots=True)
class _Lottery:
    """Loses exactly one packet of every 1 / loss, so that a packet and its repetitions are hardly lost in a row."""

    random: random.Random
    _left: int = 0
    _loser: int = 0

    def loses(self, loss: float) -> bool:
        if loss <= 0:
            return False
        if self._left == 0:
            self._left = round(1 / loss)
            self._loser = self.random.randrange(self._left)
        self._left -= 1
        return self._left == self._loser


@dataclass(slots=True)
class Line:
    """Two TUN devices and the thread between them."""

    ends: tuple[int, int]
    weather: Weather = field(default_factory=Weather)
    lost: int = 0
    """Packets, so far."""
    passed: int = 0
    _stop: "tuple[int, int]" = field(default_factory=os.pipe)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Carry packets from now on."""
        self._thread = threading.Thread(target=self._carry, name="line", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take it down, with its devices."""
        os.write(self._stop[1], b"x")
        if self._thread is not None:
            self._thread.join(SETTLE_S)
        for handle in (*self.ends, *self._stop):
            os.close(handle)

    def _carry(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []
        lotteries = [_Lottery(random.Random(number)) for number in (1, 2)]
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop[0], selectors.EVENT_READ)
            for number, handle in enumerate(self.ends):
                selector.register(handle, selectors.EVENT_READ, number)
            while True:
                wait_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
                for key, _ in selector.select(wait_s):
                    if key.fd == self._stop[0]:
                        return
                    for packet in _packets(key.fd):
                        self._take(packet, key.data, lotteries[key.data], waiting)
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, to, packet = heapq.heappop(waiting)
                    with contextlib.suppress(OSError):  # the other end is not up
                        os.write(to, packet)

    def _take(self, packet: bytes, end: int, lottery: _Lottery, waiting: list[tuple[float, int, int, bytes]]) -> None:
        weather = self.weather
        if weather.down or len(waiting) >= MOST_WAITING or lottery.loses(weather.loss):
            self.lost += 1
            return
        self.passed += 1
        heapq.heappush(waiting, (time.monotonic() + weather.delay_s, self.passed, self.ends[1 - end], packet))


def _packets(handle: int) -> Iterator[bytes]:
    """All that wait to be read."""
    with contextlib.suppress(OSError):  # BlockingIOError: that was all
        while packet := os.read(handle, LARGEST_PACKET):
            yield packet


def _device(namespace: Namespace, address: str, peer: str) -> int:
    """A TUN device in the namespace, up, with an address: the handle that its packets come and go by."""
    handle = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        told = fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", b"voiceline%d", IFF_TUN | IFF_NO_PI))
        name = told[:16].rstrip(b"\0").decode()
        _run("ip", "link", "set", name, "netns", str(namespace.pid))
        namespace.ip("addr", "add", address, "peer", peer, "dev", name)
        namespace.ip("link", "set", name, "up")
    except BaseException:
        os.close(handle)
        raise
    return handle


@dataclass(frozen=True, slots=True)
class Network:
    """Two namespaces. `near` has the caller and what must not be cut off; `far` what lies behind the line."""

    near: Namespace
    far: Namespace
    line: Line
    """Between callers and what is far: NEAR and FAR are its ends."""


NEAR, FAR = "10.99.0.1", "10.99.0.2"
BEHIND, BEHIND_FAR = "10.99.1.1", "10.99.1.2"
"""The ends of a second line, which is always good: for what is far and needs something that is near."""


@contextmanager
def network() -> Iterator[Network]:
    """Two namespaces with a line, and what is in them by then is the caller's to end. Raises OSError."""
    with ExitStack() as stack:
        spaces = []
        for _ in range(2):
            spaces.append(Namespace())
            stack.callback(spaces[-1].close)
        near, far = spaces
        veth = ("link", "add", "behind0", "type", "veth", "peer", "name", "behind1", "netns", str(far.pid))
        near.ip(*veth)
        for space, name, address in ((near, "behind0", BEHIND), (far, "behind1", BEHIND_FAR)):
            space.ip("addr", "add", f"{address}/30", "dev", name)
            space.ip("link", "set", name, "up")
        first = _device(near, NEAR, FAR)
        try:
            line = Line((first, _device(far, FAR, NEAR)))
        except BaseException:
            os.close(first)
            raise
        stack.callback(line.close)
        line.start()
        yield Network(near, far, line)


@functools.cache
def possible() -> bool:
    """Whether a network can be made here: tried once."""
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("ip", "unshare", "nsenter")):
        return False
    try:
        with network():
            return True
    except OSError:
        return False

"""Process that prepares an engine once and forks a copy of itself for each slot.

A decoder of 91 MB is loaded once; the copies share its memory until they write to it, and start in milliseconds.
Runs as `python -m speech_worker.engines.zygote CONTROL_FD MODULE CONFIG`; MODULE offers `prepare(config) -> (state,
info)` and `serve(state, connection)`. The copies leave when their socket ends, and so does this process.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from speech_worker.engines.wire import FAILED, HELLO, Connection

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Ask the kernel (Linux) to kill this process when its parent ends. Elsewhere the end of the socket does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    config = json.loads(sys.argv[3])
    die_with_parent()
    if os.getppid() != config["parent_pid"]:
        return
    # A signal to the whole process group is the worker's to handle: calls that run are to end well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    up = Connection(control)
    module = importlib.import_module(sys.argv[2])
    try:
        state, info = module.prepare(config)
    except Exception as error:  # noqa: BLE001 - any failure of an engine's code becomes the sentence the operator reads
        up.send_json(FAILED, {"type": type(error).__name__, "message": str(error)})
        return
    up.send_json(HELLO, info)
    gc.freeze()  # a collection in a copy would write to every shared page
    _fork_on_request(control, module, state)


def _fork_on_request(control: socket.socket, module: Any, state: Any) -> None:
    zygote_pid = os.getpid()
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            die_with_parent()
            code = 1
            try:
                if os.getppid() == zygote_pid:
                    _serve(module, state, descriptors[0])
                    code = 0
            finally:
                os._exit(code)
        os.close(descriptors[0])


def _serve(module: Any, state: Any, descriptor: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection = Connection(socket.socket(fileno=descriptor))
    connection.send_json(HELLO, {"pid": os.getpid()})
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the worker is gone or has given this copy up
        module.serve(state, connection)


if __name__ == "__main__":
    main()

"""Memory of a process that has started and serves from now on."""

import ctypes
import gc


def settle() -> None:
    """Keep what lives so far for good, and give back what was only used to load it. To be called once, when all
    that serving needs is there.

    What was imported lives as long as the process: looking through it would take the garbage collector tens of ms, a
    gap in every call's audio. glibc keeps freed pages between used ones, and those of a thread that loaded a model,
    until it is told to give them back: 6 MiB of a gateway's. Another libc keeps its own ways.
    """
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

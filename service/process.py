"""How a process that serves starts soon, stays lean, and does not outlive who looks after it."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from pathlib import Path
from types import ModuleType
from typing import Any

M_ARENA_MAX = -8
"""As `malloc.h` has it."""
MADV_DONTNEED = 4
"""As Linux's `mman.h` has it."""
PR_SET_PDEATHSIG = 1
"""As Linux's `prctl.h` has it."""
READ_AND_EXECUTE = "r-xp"
"""Of a mapping that is nobody else's and not written to: code."""
SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep the interpreter from another that wants it.

What loads a model or infers gives the interpreter up and takes it back many times. With Python's 5 ms it hardly comes
on beside a thread that imports, or that is busy refusing (measured by `python -m benchmarks resilience overload`).
"""
UNUSED = ("yaml",)
"""Packages that a library imports for what this service does not do: Litestar can write its schema in YAML, too."""


def begin_start() -> None:
    """Prepare a process for loading much that stays. To be called before the libraries are imported."""
    # NumPy's OpenBLAS starts a thread per core when it is imported, and this service has no work for any of them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # glibc gives each thread a heap of its own, whose free parts the others cannot use.
    call_c("mallopt", M_ARENA_MAX, 1)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if PutOff not in sys.meta_path:
        sys.meta_path.insert(0, PutOff)
    # Looking for garbage again and again among what is being imported takes a tenth of the time and finds none.
    gc.disable()


def ignore_hangup() -> None:
    """Let SIGHUP pass while the process starts, which reads the newest version anyway.

    Its default is to end the process. The server and the supervisor put their own handlers in place later.
    """
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def follow_parent() -> None:
    """Have this process told to stop, as by SIGTERM, when the one that has spawned it ends, or has ended already.

    Linux alone does so; it means the thread that spawned, which is the supervisor's main thread.
    """
    call_c("prctl", PR_SET_PDEATHSIG, signal.SIGTERM)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        signal.raise_signal(signal.SIGTERM)


def end_start() -> None:
    """Collect garbage from now on, but only among what comes from now on, and give back what starting left behind.

    Does nothing without `begin_start`.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
        give_memory_back()


def give_memory_back() -> None:
    """Give back what loading has left behind: free memory, and the pages of code that answering may never need.

    Most of ONNX Runtime's code reads and optimises graphs. The kernel maps again what is executed after all, from the
    files that it has in its cache; its own pages never change, so nothing can be lost (`python -m benchmarks speed`
    weighs a worker after 10,000 requests; this saves about 14 of its 100 MB).
    """
    call_c("malloc_trim", 0)
    for start, length in code_mappings():
        call_c("madvise", ctypes.c_void_p(start), ctypes.c_size_t(length), MADV_DONTNEED)


def code_mappings() -> Iterator[tuple[int, int]]:
    """List where executable code is mapped from files: address and length. Only Linux says; elsewhere there is none."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        span, permissions, _offset, _device, inode, *_path = line.split()
        if permissions == READ_AND_EXECUTE and inode != "0":
            start, end = (int(address, 16) for address in span.split("-"))
            yield start, end - start


def call_c(function: str, *arguments: Any) -> None:
    """Call a function of the C library where it has it: glibc's allocator offers what others do not and need not."""
    with suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), function)(*arguments)


class PutOff:
    """Finds the packages in `UNUSED`, and has them executed at the first look into them and not before.

    An entry of `sys.meta_path`; the loader is the standard library's own.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Leave every other module to the finders that come next."""
        spec = PathFinder.find_spec(name, path, target) if name in UNUSED else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec

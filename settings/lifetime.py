"""When a service ends: by a signal, and with the process that started it, also where that one was killed
without a word.

Who starts a service gives it an environment from `as_child`. The service then looks after its parent by
itself (`end_with_parent`), on every system; on Linux `signalled_by_the_kernel` is quicker, and works for
programs of others too.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

MAX_FILES = 2**20
PARENT = "QUOTASCOPE_PARENT"
"""The process id of whoever started this service and ends it."""

YOUNG_OBJECTS = 10_000
"""Made and not freed, at which those in circles are looked for; of so many it takes half a millisecond.
Python's 700 make that look a tenth of a request's cost in a proxy, and after every fifteenth question of a
page one at all objects there are, of 30 ms and more."""

LOOK_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def set_limits() -> None:
    """As many open files as this process may have: with the usual 1,024 a thousand silent connections would
    keep everybody else out. No image of its memory when it crashes: that would hold keys. And a garbage
    collector that seldom runs: requests and questions leave next to nothing for it."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if most == resource.RLIM_INFINITY else min(most, MAX_FILES)
    with suppress(ValueError, OSError):  # some systems allow fewer than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, wanted), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    gc.set_threshold(YOUNG_OBJECTS)


def open_files() -> int:
    """How many files, connections among them, this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def stopping_signals() -> tuple[signal.Signals, ...]:
    """The signals that end a service in order. SIGHUP, by which a closing terminal ends what runs in it, is
    one of them unless the caller ignores it (nohup)."""
    hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hang_up)


def as_child(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a service that is to end with this process."""
    return {**environ, PARENT: str(os.getpid())}


def signalled_by_the_kernel() -> Callable[[], None]:
    """What a child of this process runs before its program, so that Linux sends it SIGTERM when this process
    is gone; nothing elsewhere. It holds as long as the thread lives that starts the child."""
    parent = os.getpid()

    def ask() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it was gone before we asked
                os.kill(os.getpid(), signal.SIGTERM)

    return ask


def end_with_parent(environ: Mapping[str, str]) -> None:
    """Send this process SIGTERM, and so end it in order, once its parent is gone; nothing for a service
    that a person, or a service manager, started."""
    parent = environ.get(PARENT, "")
    if parent.isdecimal():
        threading.Thread(target=_watch, args=(int(parent),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)

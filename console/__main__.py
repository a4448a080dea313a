"""`python -m console`: the page, or the same in a terminal. Only what a command needs is imported: a status
line asks every few seconds."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

from console.terminal import ready

COMMANDS = {"status": "console.terminal.status", "top": "console.terminal.top"}
"""Commands, and the modules whose `main` they are; without one it is the page."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run a command; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    module = COMMANDS.get(given[0]) if given else None
    command = import_module(module or "console.web.command")
    return int(command.main(given[1:] if module else given, environ))


def _quickly(argv: Sequence[str]) -> NoReturn:
    """A status line asks every few seconds: who answered the same before does it again. Else nothing is
    collected while libraries are imported, nothing is taken down in the end but the process (each of both
    took a fifth of the time), and pydantic does not look for plugins in every package that is installed."""
    gc.disable()
    found = ready.asked(argv, os.environ)
    if found is None:
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        code = import_module(COMMANDS["status"]).main(argv, stays=True)
    else:
        code, text = found
        with suppress(BrokenPipeError):  # nobody reads any more
            print(text, flush=True)
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1:2] == ["status"]:
        _quickly(sys.argv[2:])
    sys.exit(main())

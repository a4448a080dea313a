"""Command lines that complain in one line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn


class _Help(argparse.HelpFormatter):
    """Texts with lines of their own stay as they are; others are wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


class OneLineParser(argparse.ArgumentParser):
    """argparse, without the usage text before each complaint."""

    exit_code: ClassVar[int] = 2

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **options})

    def error(self, message: str) -> NoReturn:
        self.exit(self.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that all commands have."""
    about = "configuration file (default: codex-usage.toml, if it exists)"
    parser.add_argument("--config", metavar="FILE", type=Path, help=about)


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of an option that takes a number within bounds. Of what is no number argparse itself would
    say that it is no valid value of our function."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: allowed: {least:g} to {most:g}")
        return value

    return read


def end_with(main: Callable[[], int]) -> NoReturn:
    """Run a command that prints, and end with its exit code; as other programs do, without a word, when
    whoever reads what it prints has enough (`| head`), and when a person ends it with Ctrl-C."""
    try:
        try:
            code = main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(code)

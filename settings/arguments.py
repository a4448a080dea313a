"""Command lines that complain in one line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import ClassVar, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse, without the usage text before each complaint."""

    exit_code: ClassVar[int] = 2

    def error(self, message: str) -> NoReturn:
        self.exit(self.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that all commands have."""
    about = "configuration file (default: codex-usage.toml, if it exists)"
    parser.add_argument("--config", metavar="FILE", type=Path, help=about)

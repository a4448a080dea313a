"""Command lines that complain in one line."""

from __future__ import annotations

import argparse
from typing import ClassVar, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """argparse, without the usage text before each complaint."""

    exit_code: ClassVar[int] = 2

    def error(self, message: str) -> NoReturn:
        self.exit(self.exit_code, f"{self.prog}: {message} (see {self.prog} --help)\n")

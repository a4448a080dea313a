"""Talking to the person who started us."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """Print at once; when nobody reads standard output any more (`| head`), go on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python before 3.11.4 keeps the text in its buffer, and would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Tell on standard error what went wrong and was put right, or will be."""
    print(f"run: {text}", file=sys.stderr, flush=True)

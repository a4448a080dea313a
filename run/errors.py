"""Errors of starting and ending programs.

RunError
├── PlanError      it cannot start like this; nothing was started
└── ProgramError   a program did not start, did not get ready, or ended by itself
"""

from __future__ import annotations


class RunError(Exception):
    """Base of all that this room raises; its text is one line for a person."""

    exit_code = 1


class PlanError(RunError):
    """It cannot start like this: a taken port, a folder that is not ours."""

    exit_code = 2


class ProgramError(RunError):
    """A program failed. `exit_code` is 2 when the program itself blamed its input with 2, else 1."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

"""Errors of the console.

ConsoleError
├── ChoiceError    an address names a time, a condition or a zone that is none; the text names it
└── PageError      a page that is not there, or an action that may not be; it has its HTTP status
"""

from __future__ import annotations


class ConsoleError(Exception):
    """Base of all that the console raises; its text is one line for a person."""


class ChoiceError(ConsoleError):
    """What the query string asks for cannot be; the text names the parameter and what is allowed."""


class PageError(ConsoleError):
    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status

"""Errors of the simulator.

SimulatorError
├── ScriptError    a script or a request for history asks for what cannot be
├── CodingError    a content coding is unknown, or its library is not installed
└── OutputError    a file, a database or an address cannot be used
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of all that the simulator raises; its text is one line for a person."""


class ScriptError(SimulatorError):
    """What was asked for contradicts itself or lies out of range."""


class CodingError(SimulatorError):
    """A content coding is unknown, its bytes are broken, or its library is not installed."""


class OutputError(SimulatorError):
    """A file, a database or an address cannot be used."""

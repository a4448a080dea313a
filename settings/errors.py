"""Errors of the configuration.

SettingsError   one line: the key, what was given, what is allowed
"""

from __future__ import annotations


class SettingsError(Exception):
    """The configuration cannot be used; nothing was started."""

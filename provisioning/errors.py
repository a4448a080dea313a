"""Errors of provisioning.

ProvisioningError
├── ValueRefused   an address or a version that Grafana could not use
└── OutputError    the files cannot be written
"""

from __future__ import annotations


class ProvisioningError(Exception):
    """Base of all that this room raises; its text is one line for a person."""


class ValueRefused(ProvisioningError):
    """An argument that Grafana could not use."""


class OutputError(ProvisioningError):
    """A file cannot be written."""

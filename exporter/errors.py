"""Errors of the exporter.

ExporterError
└── ListenError   the address cannot be listened on

What goes wrong while the ledger is read is no error of the exporter: the collector reports it.
"""

from __future__ import annotations


class ExporterError(Exception):
    """Base of all that the exporter raises; its text is one line for a person."""


class ListenError(ExporterError):
    """The address of `[exporter] listen_addr` is taken, forbidden or not of this machine."""

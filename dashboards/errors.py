"""Errors of the dashboards.

DashboardError
├── LayoutError    a row that leaves a gap in the grid, or does not fit into it
├── TimeError      a time range or interval that Grafana would not understand
├── SourceError    Prometheus cannot be reached, or refuses the query
└── OutputError    a file cannot be written
"""

from __future__ import annotations


class DashboardError(Exception):
    """Base of all that this room raises; its text is one line for a person."""


class LayoutError(DashboardError):
    """Panels that do not fill their row of the grid."""


class TimeError(DashboardError):
    """A text that is no time, time range, interval or time zone."""


class SourceError(DashboardError):
    """Prometheus did not answer a query."""


class OutputError(DashboardError):
    """A file cannot be written."""

"""Errors of the dashboards.

DashboardError
├── LayoutError    a row that leaves a gap in the grid, or does not fit into it
├── LinkError      a link to a page that does not exist
├── TimeError      a time range or interval that Grafana would not understand
├── SourceError    Prometheus cannot be reached, or refuses the query
├── GrafanaError   Grafana cannot be reached, or refuses
└── OutputError    a file cannot be written
"""

from __future__ import annotations


class DashboardError(Exception):
    """Base of all that this room raises; its text is one line for a person."""


class LayoutError(DashboardError):
    """Panels that do not fill their row of the grid."""


class LinkError(DashboardError):
    """A link that would lead nowhere."""


class TimeError(DashboardError):
    """A text that is no time, time range, interval or time zone."""


class SourceError(DashboardError):
    """Prometheus did not answer a query."""


class GrafanaError(DashboardError):
    """A Grafana did not do what was asked."""


class OutputError(DashboardError):
    """A file cannot be written."""

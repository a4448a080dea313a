"""Errors of the watchroom.

WatchroomError
├── ConfigError   a value of RuleConfig that cannot work
├── TargetError   nothing that Prometheus could scrape
├── ApiError      a Prometheus does not answer, or refuses
├── QueryError    a query asks a family for a label that it does not have
├── SourceError   a file or an address that the linter cannot read
└── OutputError   the files cannot be written
"""

from __future__ import annotations


class WatchroomError(Exception):
    """Base of all that this room raises; its text is one line for a person."""


class ConfigError(WatchroomError):
    """A value of the rule configuration is out of its bounds."""


class TargetError(WatchroomError):
    """An address or a credential with which Prometheus could scrape nothing."""


class ApiError(WatchroomError):
    """A Prometheus that cannot be reached, or that refuses what it was asked."""


class QueryError(WatchroomError):
    """A query that cannot match: its label is not declared on its family."""


class SourceError(WatchroomError):
    """A file that is no dashboard, rule file or page, or a schema that cannot be had."""


class OutputError(WatchroomError):
    """A file cannot be written."""

"""Errors of the commands that runbook pages name.

TaskError
├── MatcherError     nothing to delete by, or something that Prometheus cannot read
└── ContainerError   docker is missing, or the container is
"""

from __future__ import annotations


class TaskError(Exception):
    """Base of all that this room raises; its text is one line for a person, or a few."""


class MatcherError(TaskError):
    """A series selector that is missing, empty or wrong."""


class ContainerError(TaskError):
    """A container that is not there, or a program in it that fails."""

"""Findings as text for a person, or as annotations for GitHub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus.lint.finding import Finding


def plain(finding: Finding) -> str:
    """`FILE:LINE: "PANEL" [TARGET] RULE: reason. Fix: ...`"""
    said = finding.complaint
    return f"{finding.place} {said.rule}: {_advice(finding)}"


def github(finding: Finding) -> str:
    """A workflow command: GitHub shows it at the line in the pull request."""
    place, said = finding.place, finding.complaint
    where = f'"{place.panel}" [{place.target}]: ' if place.panel else ""
    message = _escaped(where + _advice(finding))
    position = f"file={_property(place.file)},line={place.line or 1},title={_property(said.rule)}"
    return f"::error {position}::{message}"


FORMATS: Mapping[str, Callable[[Finding], str]] = {"text": plain, "github": github}


def summary(findings: Sequence[Finding], queries: int, files: int) -> str:
    """The last line: what was looked at, and what came of it."""
    found = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "nothing to say"
    return f"{queries} queries in {files} files: {found}"


def _advice(finding: Finding) -> str:
    said = finding.complaint
    return f"{said.reason}. Fix: {said.fix}{'' if said.fix.endswith('?') else '.'}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")

"""Findings as text for a person, as annotations for GitHub, or as SARIF."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus.lint.catalogue import RULES, severity
from prometheus.lint.finding import Finding, Severity

PAGE = "https://github.com/quotascope/quotascope/blob/main/docs/promql-linter.md"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


LEVELS: Mapping[Severity, tuple[str, str]] = {
    "error": ("error", "error"),
    "warning": ("warning", "warning"),
    "hint": ("notice", "note"),
}
"""What GitHub's commands and SARIF call a severity."""


def plain(findings: Sequence[Finding]) -> str:
    """`FILE:LINE: "PANEL" [TARGET] SEVERITY RULE: reason. Fix: ...`, a line for each."""
    return "".join(f"{f.place} {severity(f)} {f.complaint.rule}: {_advice(f)}\n" for f in findings)


def github(findings: Sequence[Finding]) -> str:
    """Workflow commands: GitHub shows each at its line in the pull request."""
    return "".join(f"{_command(finding)}\n" for finding in findings)


def _command(finding: Finding) -> str:
    place, said = finding.place, finding.complaint
    where = f'"{place.panel}" [{place.target}]: ' if place.panel else ""
    message = _escaped(where + _advice(finding))
    position = f"file={_property(place.file)},line={place.line or 1},title={_property(said.rule)}"
    return f"::{LEVELS[severity(finding)][0]} {position}::{message}"


def sarif(findings: Sequence[Finding]) -> str:
    """SARIF 2.1.0, as GitHub's code scanning and editors read it."""
    rules = [
        {"id": rule, "shortDescription": {"text": text}, "helpUri": f"{PAGE}#{rule}"}
        for rule, text in RULES.items()
    ]
    driver = {"name": "quotascope-promql", "informationUri": PAGE, "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_result(finding) for finding in findings]}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(finding: Finding) -> dict[str, Any]:
    place, said = finding.place, finding.complaint
    where = f'"{place.panel}" [{place.target}]: ' if place.panel else ""
    location = {
        "artifactLocation": {"uri": Path(place.file).as_posix()},
        "region": {"startLine": place.line or 1},
    }
    return {
        "ruleId": said.rule,
        "level": LEVELS[severity(finding)][1],
        "message": {"text": where + _advice(finding)},
        "locations": [{"physicalLocation": location}],
    }


FORMATS: Mapping[str, Callable[[Sequence[Finding]], str]] = {
    "text": plain,
    "github": github,
    "sarif": sarif,
}


def summary(findings: Sequence[Finding], queries: int, files: int) -> str:
    """The last line: what was checked, and what came of it."""
    counted = Counter(severity(finding) for finding in findings)
    parts = [f"{counted[s]} {s}{'' if counted[s] == 1 else 's'}" for s in LEVELS if counted[s]]
    return f"{queries} queries in {files} files: {', '.join(parts) or 'no findings'}"


def _advice(finding: Finding) -> str:
    said = finding.complaint
    return f"{said.reason}. Fix: {said.fix}{'' if said.fix.endswith('?') else '.'}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")

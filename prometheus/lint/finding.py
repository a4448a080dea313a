"""What the linter says: a rule, where, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "hint"]
"""error: it shows something wrong or nothing; warning: it will, one day; hint: worth a look, not certain."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a query stands.

    Attributes:
        panel: the panel's title, the rule's name, or the page's heading; "" for a whole file.
        target: Grafana's letter of the query, or what else the query is there.
        line: in the file, from 1; 0 where nothing better is known.
    """

    file: str
    panel: str = ""
    target: str = ""
    line: int = 0

    def __str__(self) -> str:
        panel = f' "{self.panel}"' if self.panel else ""
        target = f" [{self.target}]" if self.target else ""
        return f"{self.file}:{self.line or 1}:{panel}{target}"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One broken rule, before it is known where: rule id, reason in one line, and the fix.

    Attributes:
        severity: where it is not the rule's own.
    """

    rule: str
    reason: str
    fix: str
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    place: Place
    complaint: Complaint

"""Suppressions: a comment in the query, `# lint-ignore RULE: reason`, that travels with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus.lint.catalogue import RULES
from prometheus.lint.finding import Complaint

_COMMENT = re.compile(r"#\s*lint-ignore\b[ \t]*(?P<rule>[\w-]*)[ \t]*:?[ \t]*(?P<reason>[^\n]*)")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One rule that may be broken here, and why."""

    rule: str
    reason: str

    @property
    def valid(self) -> bool:
        """It names a rule that exists, and says why."""
        return self.rule in RULES and bool(self.reason.strip())


def suppressions(expr: str) -> tuple[Suppression, ...]:
    return tuple(Suppression(found["rule"], found["reason"]) for found in _COMMENT.finditer(expr))


def applied(complaints: Iterable[Complaint], allowed: tuple[Suppression, ...]) -> Iterator[Complaint]:
    all_of_them = list(complaints)
    silent = {s.rule for s in allowed if s.valid}
    yield from (c for c in all_of_them if c.rule not in silent)
    for suppression in allowed:
        if not suppression.valid:
            yield _bare(suppression)
        elif suppression.rule not in {c.rule for c in all_of_them}:
            yield Complaint(
                "unused-suppression",
                f"{suppression.rule} is not broken here",
                "take the comment away",
            )


def _bare(suppression: Suppression) -> Complaint:
    if suppression.rule not in RULES:
        reason = f"there is no rule {suppression.rule!r}"
    else:
        reason = f"nothing says why {suppression.rule} may be broken"
    return Complaint("bare-suppression", reason, "write `# lint-ignore RULE: reason`")

"""What an alert is, before Prometheus reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from prometheus import addresses
from prometheus.config import RuleConfig
from prometheus.jobs import confined
from prometheus.promql import promql as duration


def _each_or_number(condition: str, most: int) -> str:
    """The series of a condition as long as they are few; of more than `most`, one series without labels that
    says how many."""
    return f"(({condition}) and on () (count({condition}) <= {most})) or count({condition}) > {most}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. It fires where `signal threshold` holds, and `only_if` has a series of the same labels.

    Attributes:
        signal: the value that people know; alone it always has data.
        threshold: comparison and number, like `> 0.05`.
        lasting: how long it must hold; None fires at the first evaluation.
        keeping: how long it goes on firing once it no longer holds: traffic that stops resolves nothing.
        most: how many series fire each alone; of more, one alert gives the number. None: all do.
        severity: `critical` loses data or blinds us now, `warning` can wait for the morning,
            `info` is for a channel that nobody is woken by, `none` for a machine.
        description: Prometheus' template text; `$value` is the signal.
        dashboard: uid of the dashboard that shows the signal.
        choice: values of the dashboard's variables, a template too.
    """

    name: str
    signal: str
    threshold: str
    severity: Literal["critical", "warning", "info", "none"]
    summary: str
    description: str
    lasting: timedelta | None = None
    keeping: timedelta | None = None
    only_if: str = ""
    most: int | None = None
    dashboard: str = addresses.OVERVIEW
    choice: str = ""

    @property
    def expr(self) -> str:
        return self.condition if self.most is None else _each_or_number(self.condition, self.most)

    @property
    def condition(self) -> str:
        """What holds for each series that fires."""
        # In parentheses always: a comparison binds tighter than the `or` that a signal may end with.
        condition = f"({self.signal}) {self.threshold}"
        return f"{condition} and {self.only_if}" if self.only_if else condition

    @property
    def short_name(self) -> str:
        """Its name in `[rules.alerts]`."""
        return self.name.removeprefix("Quotascope")

    @property
    def page(self) -> str:
        words = re.findall("[A-Z][a-z]+", self.name.removeprefix("Quotascope"))
        return "-".join(words).lower() + ".md"

    def document(self, config: RuleConfig) -> dict[str, Any]:
        rule: dict[str, Any] = {"alert": self.name, "expr": confined(self.expr, config)}
        if self.lasting is not None:
            rule["for"] = duration(self.lasting)
        if self.keeping is not None:
            rule["keep_firing_for"] = duration(self.keeping)
        rule["labels"] = {"severity": self.severity}
        rule["annotations"] = {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": addresses.runbook(config, self.page),
            "dashboard_url": addresses.dashboard(config, self.dashboard, self.choice),
        }
        return rule

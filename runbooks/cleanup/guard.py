"""Whether deleted series would come back: who scrapes them, and whether a relabel rule stops them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from prometheus.errors import ApiError
from prometheus.http_api import Labels
from prometheus.promql import literal
from prometheus.relabel import Relabel
from runbooks.cleanup.series import Stock
from runbooks.matchers import parsed


@dataclass(frozen=True, slots=True)
class Guard:
    """One scrape job of the series.

    Attributes:
        active: it delivers samples of them now.
        blocked: a relabel rule drops them before they are stored.
    """

    job: str
    active: bool
    blocked: bool

    @property
    def lets_them_back(self) -> bool:
        return self.active and not self.blocked


def guards(stocks: Sequence[Stock], config: str) -> list[Guard]:
    """One guard for each scrape job that delivers the series, or did so once.

    Args:
        config: Prometheus' configuration as YAML.
    Raises: ApiError where the configuration cannot be read.
    """
    jobs = _relabel_configs(config)
    known: dict[str, list[Labels]] = {}
    active: set[str] = set()
    for stock in stocks:
        for labels in stock.series:
            known.setdefault(labels.get("job", ""), []).append(labels)
        active |= {labels.get("job", "") for labels in stock.active}
    return [
        Guard(job, job in active, all(_stopped(labels, jobs[job]) for labels in series))
        for job, series in sorted(known.items())
        if job in jobs
    ]


def offered(matcher: str) -> Relabel | None:
    """A relabel rule that stops what the matcher selects; None where none can be derived."""
    tree = parsed(matcher)
    conditions = [("__name__", literal(tree.name))] if tree.name else []
    for condition in tree.matchers.matchers:
        if condition.op == promql_parser.MatchOp.Equal:
            conditions.append((condition.name, literal(condition.value)))
        elif condition.op == promql_parser.MatchOp.Re:
            conditions.append((condition.name, f"(?:{condition.value})"))
        else:
            return None
    labels, patterns = zip(*conditions, strict=True)
    return Relabel(f"{matcher} was deleted and is not wanted back", "drop", labels, ";".join(patterns))


def _stopped(labels: Labels, configs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a rule drops the series. What else relabelling may do to it is not followed: a series that is
    renamed counts as one that comes back, and a person decides."""
    return any(_drops(labels, config) for config in configs if config.get("action") in ("drop", "keep"))


def _drops(labels: Labels, config: Mapping[str, Any]) -> bool:
    separator = str(config.get("separator", ";"))
    value = separator.join(labels.get(name, "") for name in config.get("source_labels") or ())
    try:
        found = re.fullmatch(str(config.get("regex", "(.*)")), value, re.DOTALL)
    except re.error:  # a pattern that only RE2 understands
        return False
    return bool(found) is bool(config["action"] == "drop")


def _relabel_configs(config: str) -> dict[str, list[Mapping[str, Any]]]:
    try:
        jobs = yaml.safe_load(config).get("scrape_configs") or []
        return {str(job["job_name"]): list(job.get("metric_relabel_configs") or ()) for job in jobs}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ApiError(f"Prometheus' configuration cannot be read: {error}") from error

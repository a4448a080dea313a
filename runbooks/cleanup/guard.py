"""Whether deleted series would come back: who scrapes them, and whether a relabel rule stops them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from prometheus.promql import literal
from prometheus.relabel import Relabel
from runbooks.cleanup.stock import Stock
from runbooks.errors import ServerError
from runbooks.matchers import matches, parsed
from runbooks.prometheus_api import Labels
from runbooks.relabelling import relabelled


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
        """They return with the next scrape."""
        return self.active and not self.blocked


def guards(stocks: Sequence[Stock], matchers: Sequence[str], config: str) -> list[Guard]:
    """One guard for each scrape job that delivers the series, or did so once.

    Args:
        config: Prometheus' configuration as YAML.
    Raises: ServerError where the configuration cannot be read.
    """
    jobs = _relabel_configs(config)
    known: dict[str, list[Labels]] = {}
    active: set[str] = set()
    for stock in stocks:
        for labels in stock.series:
            known.setdefault(labels.get("job", ""), []).append(labels)
        active |= {labels.get("job", "") for labels in stock.active}
    return [
        Guard(job, job in active, all(_stopped(labels, matchers, jobs[job]) for labels in series))
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


def _stopped(labels: Labels, matchers: Iterable[str], configs: list[Mapping[str, Any]]) -> bool:
    try:
        kept = relabelled(labels, configs)
    except re.error:  # a pattern that only RE2 understands
        return False
    return kept is None or not any(matches(matcher, kept) for matcher in matchers)


def _relabel_configs(config: str) -> dict[str, list[Mapping[str, Any]]]:
    try:
        jobs = yaml.safe_load(config).get("scrape_configs") or []
        return {str(job["job_name"]): list(job.get("metric_relabel_configs") or ()) for job in jobs}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ServerError(f"Prometheus' configuration cannot be read: {error}") from error

"""Queries confined to the jobs that this repository writes.

A codex-lb that is scraped beside us exports families of the same names, and a sum over both counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics import recorded
from prometheus.config import RuleConfig
from prometheus.promql import equal, one_of

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<name>[A-Za-z_:][\w:]*)(?P<matchers>\{(?:"(?:[^"\\]|\\.)*"|[^"}])*\})?""",
    re.VERBOSE,
)
_ABOUT_JOB = re.compile(r"[{,]\s*job\s*[=!]")


def confined(expr: str, config: RuleConfig) -> str:
    """The query, each of its selectors of a family of ours narrowed to the jobs that may export it. One that
    says something about `job` stays as it is, and so does what our own rules record."""
    jobs = _jobs(config.proxy_job, config.exporter_job, config.collector_job)

    def narrowed(token: re.Match[str]) -> str:
        matcher, given = jobs.get(token["name"] or ""), token["matchers"] or "{}"
        if matcher is None or _ABOUT_JOB.search(given):
            return token[0]
        inside = given[1:-1].strip().rstrip(",")
        return f"{token['name']}{{{','.join(filter(None, (inside, matcher)))}}}"

    return _TOKEN.sub(narrowed, expr)


@lru_cache
def _jobs(proxy: str, exporter: str, collector: str) -> Mapping[str, str]:
    """The matcher for each series name. An exporter beside a codex-lb, and the collector, export what the
    proxy does."""
    every = str(one_of("job", (proxy, exporter, collector)))
    by_family = (
        (recorded.BUILT_IN, every),
        (exporter_metrics.FAMILIES, str(equal("job", exporter))),
        (collector_metrics.OWN, str(equal("job", collector))),
        (proxy_metrics.FAMILIES, every),
    )
    return {name: matcher for families, matcher in by_family for family in families for name in family.series}

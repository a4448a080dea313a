"""What does not parse here: a fault, or a language that promql-parser does not know.

Where promql-parser is behind Prometheus, the promtool on PATH decides; the finding says which version did.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from functools import cache
from tempfile import NamedTemporaryFile

import promql_parser
import yaml

from prometheus.lint import variables
from prometheus.lint.finding import Complaint
from prometheus.lint.query import TEMPLATE, Query

_METRICSQL = re.compile(
    r"\bWITH\s*\(|\b(?:default|ifnot|if)\b\s*[\w(\[]|\bkeep_metric_names\b|\blimit\s+\d+\s*$|\[\d+i\]"
    r"|\b(?:rollup\w*|range_\w+|running_\w+|label_(?:set|map|copy|move|del|keep|value|match|mismatch|transform"
    r"|uppercase|lowercase|graphite_group)|aggr_over_time|median_over_time|distinct_over_time|zscore\w*"
    r"|increase_pure|increase_prometheus|rate_prometheus|rate_over_sum|tfirst_over_time|tlast_over_time"
    r"|lag|lifetime|union|quantiles|outliers\w*|topk_\w+|bottomk_\w+|share|sum2|any|mode|geomean"
    r"|histogram_share|buckets_limit|prometheus_buckets|vmrange|smooth_exponential|remove_resets|ru|ttf"
    r"|limit_offset|drop_common_labels|interpolate|keep_last_value|keep_next_value|alias)\s*\("
    r"|\bvmrange\b",
)
_ITS_OWN = re.compile(r"\bvm(?:agent|alert|anomaly|auth|gateway|insert|select|storage)?_\w+|\bvmrange\b")
_LOGQL = re.compile(
    r"""[})"`]\s*(?:\|[=~>]|\|\s*(?:json|logfmt|pattern|regexp|unpack|unwrap|line_format|label_format|decolorize)\b
    |![=~]\s*["`])""",
    re.VERBOSE,
)
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_PLACEHOLDER = re.compile(r"\{\{|\$\{\w+[^\w.:}][^}]*\}|\$\(\w+\)|@\w+@|%%\w+%%")
"""What programs that complete a file look for, and no query has outside of its strings."""

_OLD = re.compile(r"\bholt_winters\s*\(")
_STEP = timedelta(minutes=1)

EXPERIMENTAL = (
    "--enable-feature=promql-experimental-functions,promql-extended-range-selectors,promql-duration-expr"
)
"""Syntax that promtool takes only when asked; an older one ignores what it does not know."""

_TIMEOUT_SECONDS = 20


def metricsql(query: Query) -> bool:
    return query.victoria or about_victoria(query) or bool(_METRICSQL.search(query.expr))


def about_victoria(query: Query) -> bool:
    """Whether a query asks for what VictoriaMetrics itself exports: who has that may speak its language."""
    return bool(_ITS_OWN.search(query.expr))


def complaint(query: Query, among_metricsql: bool = False, victoria: bool = False) -> Complaint:
    """Why a query does not parse, as certain as that can be known.

    Args:
        among_metricsql: other queries of the file are MetricsQL.
        victoria: other files ask for what a VictoriaMetrics exports.
    """
    text = variables.substituted(query, _STEP)
    if _LOGQL.search(query.expr):
        return _foreign(
            "it is LogQL, which Loki speaks; it was not checked", "nothing, or run lokitool rules lint"
        )
    if among_metricsql or metricsql(query):
        return _foreign(
            "it is MetricsQL, which VictoriaMetrics speaks; it was not checked",
            "nothing, or run vmalert -dryRun",
        )
    if TEMPLATE.search(query.expr) or _PLACEHOLDER.search(_STRING.sub("", query.expr)):
        return _foreign("it is part of a template; it was not checked", "render it first")
    if _OLD.search(query.expr):
        return _foreign(
            "Prometheus 2 knows holt_winters, and Prometheus 3 no more; it was not checked",
            "write double_exponential_smoothing from Prometheus 3 on",
        )
    accepted, version = _promtool(text)
    if accepted:
        reason = f"promtool {version} accepts it, and the parser of this linter is behind; it was not checked"
        return _foreign(reason, "nothing, if your Prometheus is as new")
    if variables.structural(query):
        reason = f"whether it parses depends on its variables; it was not checked: {_reason(text)}"
        return _foreign(reason, "give the variable a current value in the dashboard")
    refused = f"; promtool {version} refuses it too" if version else ""
    if victoria:
        perhaps = "; MetricsQL may take it, and other files ask for metrics of a VictoriaMetrics"
        return Complaint(
            "syntax", f"{_reason(text)}{refused}{perhaps}", "see what your server says", "warning"
        )
    return Complaint("syntax", f"{_reason(text)}{refused}", "see what Prometheus says of it")


def _foreign(reason: str, fix: str) -> Complaint:
    return Complaint("foreign-syntax", reason, fix)


def _reason(text: str) -> str:
    try:
        promql_parser.parse(text)
    except ValueError as error:
        return " ".join(str(error).split())
    return "its variables do not fit together"


def _promtool(text: str) -> tuple[bool, str]:
    """Whether the promtool on PATH takes an expression, and its version; without one, no."""
    program = shutil.which("promtool")
    if program is None:
        return False, ""
    group = {"groups": [{"name": "g", "rules": [{"record": "checked", "expr": text}]}]}
    with NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        yaml.safe_dump(group, file)
        file.flush()
        try:
            done = subprocess.run(  # noqa: S603  (promtool, on a file that was written here)
                [program, EXPERIMENTAL, "check", "rules", file.name],
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.SubprocessError):
            return False, ""
    return done.returncode == 0, _version(program)


@cache
def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)  # noqa: S603
    found = re.search(r"version (\S+)", said.stdout + said.stderr)
    return found[1] if found else "of unknown version"

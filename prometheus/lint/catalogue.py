"""Every rule by its id, in one line; docs/promql-linter.md has a section for each."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus.lint.finding import Finding, Severity

RULES: Mapping[str, str] = {
    "unreadable-file": "the file is not there, or is no dashboard, rule file or page",
    "syntax": "the query does not parse",
    "foreign-syntax": "the query is not Prometheus' own PromQL, and was left to the server that speaks it",
    "unknown-metric": "nothing exports or records a series of this name",
    "not-recorded": "a recorded name that no rule records",
    "unknown-label": "a matcher on a label that the series never has",
    "grouping-label": "by or without a label that is not there to group by",
    "join-label": "on, ignoring or group_left with a label that a side lacks",
    "never-matches": "the two sides of an operator cannot have a pair of series with the same labels",
    "many-to-many": "a join in which several series may answer to one",
    "counter-without-rate": "a counter read as it stands, though it falls to 0 with its process",
    "rate-of-gauge": "a rate of something that may fall",
    "quantile-without-le": "histogram_quantile over something that has no buckets",
    "short-range": "a range too short to hold enough samples",
    "empty-division": "a share that disappears where its part has no series yet",
    "division-by-zero": "an aggregation over a ratio: one group without traffic makes the whole NaN",
    "constant-comparison": "a comparison that is always true, or never",
    "redundant-regexp": "a regular expression that says no more than = or !=, or is anchored twice",
    "unit-of-rate": "a rate per second shown in the unit of a sum",
    "lost-label": "the legend or the annotation names a label that the result does not have",
    "alert-without-for": "an alert that fires at the first evaluation, for one lost scrape too",
    "alert-without-condition": "an alert that compares nothing, and fires for every series",
    "alert-template": "a text of an alert that Prometheus cannot render",
    "undefined-variable": "a $variable that the dashboard does not define",
    "unused-record": "recorded, and used by nothing",
    "unused-family": "exported, and neither charted nor alerted on nor left out on purpose",
    "stale-left-out": "listed as left out, and used all the same",
    "bare-suppression": "a suppression without a reason, or of a rule that does not exist",
    "unused-suppression": "a suppression of a rule that is not broken there",
}

BROKEN_INPUT = frozenset({"unreadable-file", "syntax"})
"""Findings after which the rest cannot be judged: exit code 2."""

SEVERITIES: Mapping[str, Severity] = {
    "foreign-syntax": "hint",
    "grouping-label": "warning",
    "short-range": "warning",
    "empty-division": "warning",
    "division-by-zero": "warning",
    "redundant-regexp": "hint",
    "unit-of-rate": "warning",
    "alert-without-for": "hint",
    "alert-without-condition": "hint",
    "lost-label": "warning",
    "unused-record": "warning",
    "stale-left-out": "warning",
    "bare-suppression": "warning",
    "unused-suppression": "warning",
}
"""All others are errors."""


def severity(finding: Finding) -> Severity:
    """How much a finding matters: what the check said of this case, else what its rule says."""
    complaint = finding.complaint
    return complaint.severity or SEVERITIES.get(complaint.rule, "error")

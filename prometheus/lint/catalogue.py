"""Every rule by its id, in one line; docs/promql-linter.md has a section for each."""

from __future__ import annotations

from collections.abc import Mapping

RULES: Mapping[str, str] = {
    "syntax": "the query does not parse",
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
    "lost-label": "the legend or the annotation names a label that the result does not have",
    "undefined-variable": "a $variable that the dashboard does not define",
    "unused-record": "recorded, and used by nothing",
    "unused-family": "exported, and neither charted nor alerted on nor left out on purpose",
    "stale-left-out": "listed as left out, and used all the same",
    "bare-suppression": "a suppression without a reason, or of a rule that does not exist",
    "unused-suppression": "a suppression of a rule that is not broken there",
}

BROKEN_INPUT = frozenset({"syntax"})
"""Findings after which the rest of the query cannot be judged: exit code 2."""

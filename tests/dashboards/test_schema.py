"""Every dashboard through the models of Grafana's own foundation SDK, which drop what they do not know."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.build import dashboards
from prometheus.config import RuleConfig

with warnings.catch_warnings():
    # It advises the second schema, which Grafana 10 and 11 cannot read.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.models.dashboard import Dashboard

BUILT = dashboards(RuleConfig())
NO_READER = "timeTo"
"""No version of Grafana reads it; the design asks for it, and it says what is meant."""

plugins.register_default_plugins()


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Where the second piece of JSON lacks, or has changed, what is in the first."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from lost(left, right, f"{path}[{number}]")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def round_trip(dashboard: Any) -> Any:
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


@pytest.mark.parametrize("name", BUILT)
def test_no_key_is_unknown_to_grafana(name: str) -> None:
    complaints = [path for path in lost(BUILT[name], round_trip(BUILT[name])) if not path.endswith(NO_READER)]
    assert complaints == []


def test_the_round_trip_would_notice() -> None:
    broken = json.loads(json.dumps(BUILT["overview"]))
    broken["panels"][1]["fieldConfig"]["defaults"]["noValues"] = "typo"
    broken["panels"][1]["targets"][0]["intervallFactor"] = 1
    assert [path.rsplit(".", 1)[-1] for path in lost(broken, round_trip(broken))][:2] == [
        "noValues",
        "intervallFactor",
    ]

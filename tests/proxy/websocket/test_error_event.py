"""What the last event of a turn says of its failure, and with that of the account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.metering.usage import NOTHING, read_answer
from proxy.routing.failure import Failure, classify
from proxy.websocket.error_event import turn_failure

NOW = 1_790_000_000.0


def failure_of(event: dict[str, Any]) -> Failure | None:
    data = json.dumps(event).encode()
    report = read_answer(data, "responses")
    return turn_failure(data, report.error_code, report, NOW)


def test_a_turn_that_went_well_has_not_failed() -> None:
    assert failure_of({"type": "response.completed", "response": {"status": "completed"}}) is None


def test_an_error_event_brings_what_a_head_would() -> None:
    failure = failure_of(
        {
            "type": "error",
            "status": 429,
            "headers": {"Retry-After": 28, "X-Codex-Primary-Used-Percent": "100.0", "x-odd": None},
            "error": {"type": "usage_limit_reached", "message": "No more.", "resets_at": NOW + 60},
        }
    )
    headers = {"retry-after": "28", "x-codex-primary-used-percent": "100.0"}
    assert failure == Failure(429, "usage_limit_reached", "No more.", headers, int(NOW) + 60)


@pytest.mark.parametrize(
    ("event", "verdict"),
    [
        (
            {"error": {"code": "rate_limit_exceeded", "message": "Please try again in 28s."}},
            ("rate_limit", 28),
        ),
        ({"status": 429, "headers": {"retry-after": "28"}, "error": {"code": "x"}}, ("rate_limit", 28)),
        ({"status_code": 503, "error": {"code": "x"}}, ("error", None)),
        ({"status": 400, "error": {"code": "x"}}, None),
        ({"status": 401, "error": {"code": "invalid_api_key"}}, ("permanent_failure", None)),
        ({"code": "account_suspended"}, ("permanent_failure", None)),
        ({"code": "server_error"}, ("error", None)),
        ({"status": 200, "error": {"code": "server_error"}}, ("error", None)),
        ({"status": "400", "headers": [], "error": {"code": "server_error"}}, ("error", None)),
        ({"status": True, "error": {"code": "server_error"}}, ("error", None)),
    ],
)
def test_what_it_means_for_the_account(
    event: dict[str, Any], verdict: tuple[str, float | None] | None
) -> None:
    failure = failure_of({"type": "error", **event})
    assert failure is not None
    found = classify(failure, NOW)
    assert (found and (found.event, found.retry_after)) == verdict


def test_an_event_that_cannot_be_read_leaves_what_is_known() -> None:
    assert turn_failure(b"\xff", "upstream_broken", NOTHING, NOW) == Failure(200, "upstream_broken")

"""A usage record -> the event that the proxy would have made."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from collector.decoding.fields import Undecodable
from collector.decoding.record import document_of, event_id, request_event
from collector.decoding.tokens import from_tokens
from ledger.values import NO_USAGE, RequestEvent, Usage
from tests.support.gateway.records import record

TOKENS = {
    "input_tokens": 100,
    "output_tokens": 20,
    "reasoning_tokens": 5,
    "cached_tokens": 40,
    "cache_read_tokens": 40,
    "cache_creation_tokens": 10,
}


def event(**changed: Any) -> RequestEvent:
    made = record(1, datetime(2026, 11, 28, 12, tzinfo=UTC), random.Random(3))
    return request_event({**made, **changed}, "c-1", "cpa", "here")


@pytest.mark.parametrize(
    ("provider", "usage"),
    [
        ("anthropic", Usage(150, 20, 40, 5, 10)),
        ("openai", Usage(100, 20, 40, 5, 10)),
        ("google", Usage(100, 25, 40, 5, 10)),
    ],
)
def test_without_a_breakdown_the_provider_decides(provider: str, usage: Usage) -> None:
    assert from_tokens(TOKENS, provider) == usage


@pytest.mark.parametrize(
    ("status_code", "body", "status", "code"),
    [
        (499, "context canceled", "cancelled", None),
        (200, "unexpected EOF", "error", "upstream_broken"),
        (500, "dial tcp: connection refused", "error", "upstream_unreachable"),
        (429, '{"error":{"code":"rate_limit_exceeded"}}', "error", "rate_limit_exceeded"),
    ],
)
def test_failures(status_code: int, body: str, status: str, code: str | None) -> None:
    found = event(failed=True, fail={"status_code": status_code, "body": body})
    assert (found.status, found.http_status, found.error_code) == (status, status_code, code)


def test_zeros_of_a_success_are_no_counts() -> None:
    empty = {"input_tokens": 0, "output_tokens": 0}
    assert event(failed=False, token_breakdown={}, tokens=empty).usage is NO_USAGE


def test_tiers_and_times() -> None:
    found = event(service_tier="auto", response_service_tier="priority", latency_ms=500, ttft_ms=500)
    assert (found.requested_service_tier, found.service_tier) == (None, "priority")
    assert found.latency_first_token_ms is None  # an answer in one piece


@pytest.mark.parametrize("raw", [b"no json", b"[1]", b"12", b'"text"'])
def test_what_is_no_record(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        document_of(raw)
    with pytest.raises(Undecodable):
        request_event({"refresh": True}, "c-1", "cpa", None)


def test_an_id_follows_from_the_item() -> None:
    ids = {event_id("cpa", b"{}", 0), event_id("cpa", b"{}", 1), event_id("b", b"{}", 0)}
    assert event_id("cpa", b"{}", 0) in ids
    assert len(ids) == 3


def test_what_the_provider_answered_goes_along_where_it_is_kept() -> None:
    made = record(1, datetime(2026, 11, 28, 12, tzinfo=UTC), random.Random(3))
    body = '{"error":{"message":"the word \\"hello\\" of sk-proj-Canary0123456789"}}'
    failed = {**made, "failed": True, "fail": {"status_code": 429, "body": body}}
    found = request_event(failed, "c-1", "cpa", "here", keeps_failures=True)
    assert found.failure_body is not None and '\\"hello\\"' in found.failure_body
    assert "Canary" not in found.failure_body
    assert request_event(failed, "c-1", "cpa", "here").failure_body is None
    assert request_event(made, "c-1", "cpa", "here", keeps_failures=True).failure_body is None


@pytest.mark.parametrize("strange", [b'"half a \\ud800 surrogate"', b"NaN", b"1" + b"0" * 400])
def test_what_the_quick_parser_refuses_is_read_all_the_same(strange: bytes) -> None:
    assert document_of(b'{"model":"m","strange":%s}' % strange)["model"] == "m"


@pytest.mark.parametrize("broken", [b"", b"{", b"\xff", b"[" * 200_000, b'{"a":1}{"b":2}'])
def test_what_is_no_json_is_undecodable(broken: bytes) -> None:
    with pytest.raises(Undecodable):
        document_of(broken)

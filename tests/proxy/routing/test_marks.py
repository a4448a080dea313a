"""What failures say of accounts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.requests.error_codes import PERMANENT
from proxy.metering.usage import read_answer
from proxy.routing.failure import Failure, Verdict, classify, read_failure, told_failure

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "code", "event", "becomes"),
    [
        (429, "rate_limit_exceeded", "rate_limit", None),
        (429, None, "rate_limit", None),
        (429, "usage_limit_reached", "quota_exceeded", None),
        (429, "insufficient_quota", "quota_exceeded", None),
        (403, "usage_not_included", "quota_exceeded", None),
        (200, "quota_exceeded", "quota_exceeded", None),
        (402, None, "quota_exceeded", None),
        (401, "refresh_token_expired", "permanent_failure", "reauth_required"),
        (401, "refresh_token_reused", "permanent_failure", "reauth_required"),
        (401, "refresh_token_invalidated", "permanent_failure", "reauth_required"),
        (403, "account_suspended", "permanent_failure", "deactivated"),
        (403, "account_deleted", "permanent_failure", "deactivated"),
        (401, "invalid_api_key", "permanent_failure", "reauth_required"),
        (401, None, "permanent_failure", "reauth_required"),
        (403, None, "error", None),
        (500, "server_error", "error", None),
        (503, None, "error", None),
        (0, "upstream_unreachable", "error", None),
        (0, None, "error", None),
        (200, "server_error", "error", None),
        (408, None, "error", None),
    ],
)
def test_codes_and_statuses(status: int, code: str | None, event: str, becomes: str | None) -> None:
    verdict = classify(Failure(status, code), NOW)
    assert verdict is not None
    assert (verdict.event, verdict.status) == (event, becomes)
    assert verdict.code == (code or verdict.code) != ""


@pytest.mark.parametrize("status", [400, 404, 405, 413, 422])
def test_a_wrong_request_says_nothing_of_the_account(status: int) -> None:
    assert classify(Failure(status, "context_length_exceeded"), NOW) is None


def test_the_code_goes_before_the_status() -> None:
    verdict = classify(Failure(400, "rate_limit_exceeded"), NOW)
    assert verdict is not None
    assert verdict.event == "rate_limit"


@pytest.mark.parametrize("code", [None, "invalid_api_key", "token_expired"])
def test_a_login_may_just_need_a_new_token(code: str | None) -> None:
    verdict = classify(Failure(401, code, can_refresh=True), NOW)
    assert verdict is not None
    assert verdict.refresh
    assert verdict.event == "error"


def test_a_login_that_is_dead_is_not_refreshed() -> None:
    verdict = classify(Failure(401, "account_suspended", can_refresh=True), NOW)
    assert verdict is not None
    assert (verdict.refresh, verdict.status) == (False, "deactivated")


def test_permanent_codes_are_few_enough_for_a_label() -> None:
    for code in (None, "invalid_api_key", "invalid_request_error", "a-code-that-a-provider-makes-up"):
        verdict = classify(Failure(401, code), NOW)
        assert verdict is not None
        assert verdict.code in PERMANENT


def test_a_401_that_tells_of_something_else_than_the_credential_passes() -> None:
    """One caller's request must not end an account for good."""
    for code in ("mismatched_organization", "ip_not_authorized", "missing_scope"):
        assert classify(Failure(401, code), NOW) == Verdict("error", code)


def test_the_wait_is_read() -> None:
    verdict = classify(Failure(429, "rate_limit_exceeded", "Please try again in 20s."), NOW)
    assert verdict is not None
    assert verdict.retry_after == 20


def body(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (body(code="rate_limit_exceeded", type="requests", message="m"), "rate_limit_exceeded"),
        (body(code=None, type="usage_limit_reached"), "usage_limit_reached"),
        (body(code="other", type="insufficient_quota"), "insufficient_quota"),
        (body(code="other", type="tokens"), "other"),
        (body(code=7, type=["x"]), None),
        (b'{"error": "text"}', None),
        (b'{"detail": "Unauthorized"}', None),
        (b"<html>", None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_an_error_answer_is_read(text: bytes, code: str | None) -> None:
    assert read_failure(429, {}, text, NOW).code == code


def test_when_a_quota_is_given_anew() -> None:
    told = read_failure(429, {}, body(type="usage_limit_reached", resets_at=1_800_000_777), NOW)
    assert told.resets_at == 1_800_000_777
    left = read_failure(429, {}, body(type="usage_limit_reached", resets_in_seconds=60), NOW)
    assert left.resets_at == NOW + 60
    verdict = classify(left, NOW)
    assert verdict is not None
    assert verdict.resets_at == NOW + 60


@given(st.integers(0, 999), st.binary(max_size=200) | st.text().map(lambda t: body(code=t, resets_at=t)))
def test_nothing_breaks_it(status: int, text: bytes) -> None:
    classify(read_failure(status, {}, text, NOW), NOW)


@pytest.mark.parametrize(
    "body", [b'{"error": {"code": "\xff"}}', b'{"error": ' + b"[" * 50_000, b'{"error": 1}']
)
def test_a_body_that_cannot_be_read_leaves_the_rest_unknown(body: bytes) -> None:
    failure = read_failure(500, {}, body, 0.0)
    assert (failure.http_status, failure.code, failure.message) == (500, None, None)


@pytest.mark.parametrize("code", ["context_length_exceeded", "invalid_prompt", "model_not_found"])
@pytest.mark.parametrize("status", [200, 403, 500])
def test_an_error_of_the_request_is_that_whatever_its_status(code: str, status: int) -> None:
    assert classify(Failure(status, code), NOW) is None


@pytest.mark.parametrize(
    ("told", "resets_at"),
    [
        ({"resets_at": NOW + 60.5}, int(NOW) + 60),
        ({"resets_in_seconds": 90}, int(NOW) + 90),
        ({"resets_at": NOW + 39 * 86_400, "resets_in_seconds": 1}, int(NOW) + 39 * 86_400),
        ({"resets_at": 99_999_999_990}, None),
        ({"resets_in_seconds": 10**9}, None),
        ({"resets_at": True}, None),
        ({"resets_at": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_a_reset_is_believed_within_reason_in_answers_and_in_streams_alike(
    told: dict[str, object], resets_at: int | None
) -> None:
    body = json.dumps({"error": {"code": "usage_limit_reached", **told}}).encode()
    assert read_failure(429, {}, body, NOW).resets_at == resets_at
    report = read_answer(body, "responses")
    assert told_failure("usage_limit_reached", report, NOW).resets_at == resets_at

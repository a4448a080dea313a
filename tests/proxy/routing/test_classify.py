"""Classes of errors: the code decides, the status where the code says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.requests.error_codes import ERROR_CLASSES, KNOWN_CODES, ErrorClass, error_class
from simulator.failures import FAILURES


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("insufficient_quota", 429, "quota"),
        ("usage_limit_reached", 429, "quota"),
        ("rate_limit_exceeded", 429, "rate_limit"),
        ("rate_limit_error", 200, "rate_limit"),
        ("invalid_api_key", 401, "auth"),
        ("something", 403, "auth"),
        ("invalid_credential", 502, "auth"),
        ("budget_exceeded", 429, "quota"),
        ("no_account_quota_exceeded", 429, "quota"),
        ("no_account_rate_limited", 429, "rate_limit"),
        ("no_account_auth", 503, "auth"),
        ("no_account_paused", 503, "internal"),
        ("no_account", 503, "internal"),
        ("account_deactivated", 502, "auth"),
        ("refresh_token_expired", 400, "auth"),
        ("upstream_timeout", 504, "upstream"),
        ("server_error", 200, "upstream"),
        ("overloaded_error", 529, "upstream"),
        ("http_500", 500, "upstream"),
        ("shutting_down", 200, "internal"),
        ("http_429", 429, "rate_limit"),
        ("model_not_found", 404, "invalid_request"),
        (None, 400, "invalid_request"),
        (None, 200, "unknown"),
        (None, 0, "unknown"),
    ],
)
def test_error_class(code: str | None, status: int, kind: ErrorClass) -> None:
    assert error_class(code, status) == kind


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.code)
def test_the_simulated_provider_s_failures_are_known(failure: object) -> None:
    code, status = failure.code, failure.http_status  # type: ignore[attr-defined]
    assert error_class(code, status) == failure.error_class  # type: ignore[attr-defined]
    assert code in KNOWN_CODES


def test_our_own_overload_is_internal() -> None:
    assert error_class("too_many_requests_in_flight", 503) == "internal"


def test_our_own_codes_are_known_in_advance() -> None:
    ours = {"too_many_requests_in_flight", "request_too_large", "request_timeout", "invalid_header"}
    assert ours <= set(KNOWN_CODES)


@given(st.none() | st.text(), st.integers(0, 999))
def test_every_failure_has_a_class(code: str | None, status: int) -> None:
    assert error_class(code, status) in ERROR_CLASSES

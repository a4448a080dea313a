"""How long an account is left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.error_text import MAX_WAIT, retry_after
from proxy.routing.failure import backoff, error_pause

NOW = 1_800_000_000.0


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (10, 102.4), (1_000, 300)])
def test_the_pause_doubles_up_to_five_minutes(failures: int, seconds: float) -> None:
    assert backoff(failures, 0.5) == pytest.approx(seconds)
    assert backoff(failures, 0.0) == pytest.approx(seconds * 0.9)
    assert backoff(failures, 1.0) == pytest.approx(seconds * 1.1)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 0.2), (2, 0.4), (3, 30), (4, 60), (5, 120), (6, 240), (7, 300), (10**9, 300)],
)
def test_after_three_errors_it_is_half_a_minute_and_more(failures: int, seconds: float) -> None:
    assert error_pause(failures, 0.5) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 2 s.", 2),
        ("Rate limit reached for gpt-5 on tokens. Please try again in 1.898s. Visit ...", 1.898),
        ("try again in 250ms", 0.25),
        ("Please try again in 1m2.5s.", 62.5),
        ("Try again in 3 days 5 hours 2 minutes.", 3 * 86_400 + 5 * 3_600 + 120),
        ("please retry after 20 seconds", 20),
        ("try again in 1 hour and 30 minutes", 5_400),
        ("try again later", None),
        ("try again in 5 parsecs", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_message_asks_for(message: str | None, seconds: float | None) -> None:
    assert retry_after(message, {}, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Mon, 01 Jan 2026 00:00:00 +99999999999999"}, None),
        ({"retry-after": str(MAX_WAIT + 1)}, None),
        ({}, None),
    ],
)
def test_what_headers_ask_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(None, headers, NOW) == seconds


def test_a_date_is_a_wait_too() -> None:
    date = datetime.fromtimestamp(NOW + 90, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after(None, {"retry-after": date}, NOW) == 90
    assert retry_after(None, {"retry-after": date}, NOW + 100) == 0


def test_the_message_goes_before_the_headers() -> None:
    assert retry_after("try again in 3s", {"retry-after": "7"}, NOW) == 3


@given(st.text() | st.text("0123456789 mshd.,and try again in", max_size=60).map("try again in ".__add__))
def test_no_text_breaks_it(text: str) -> None:
    found = retry_after(text, {"retry-after": text}, NOW)
    assert found is None or 0 <= found <= MAX_WAIT

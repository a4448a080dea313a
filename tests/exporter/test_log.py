from __future__ import annotations

import io
import logging

import pytest

from exporter.log import AGAIN_SECONDS, Failures, WithoutAddresses
from ledger.process_log import FORMAT

LOCKED = "cannot read the ledger usage.db: database is locked"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_collectors_with_one_error_share_a_line(caplog: pytest.LogCaptureFixture) -> None:
    Failures().tell({"accounts": LOCKED, "windows": "no such table", "spend": LOCKED})
    assert caplog.messages == [f"accounts, spend failed: {LOCKED}", "windows failed: no such table"]


def test_what_stays_the_same_is_told_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    failures = Failures(clock)
    for seconds, lines in (
        (0, 1),
        (15, 1),
        (AGAIN_SECONDS - 1, 1),
        (AGAIN_SECONDS, 2),
        (AGAIN_SECONDS + 15, 2),
    ):
        clock.now = 1_000 + seconds
        failures.tell({"spend": LOCKED})
        assert len(caplog.messages) == lines


def test_every_change_is_told_and_the_end_too(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    for errors in ({}, {"spend": LOCKED}, {"spend": "gone"}, {"windows": "gone"}, {}, {}):
        failures.tell(errors)
    assert caplog.messages == [
        f"spend failed: {LOCKED}",
        "spend failed: gone",
        "windows failed: gone",
        "spend can be read again",
        "windows can be read again",
    ]


@pytest.mark.parametrize(
    "said",
    [
        "Could not decode to UTF-8 column 'email' with text 'anna@ex\ufffd'",
        "could not convert string to float: 'anna@example.com'",
        "no account <anna@example.com>, (or anna@example.com)",
        "password authentication failed for user anna@example.com",
    ],
)
def test_no_address_is_logged_in_a_message_or_in_a_traceback(said: str) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(WithoutAddresses(FORMAT))
    logger = logging.Logger("quotascope.test")
    logger.addHandler(handler)
    try:
        raise ValueError(said)
    except ValueError:
        logger.exception("a scrape failed: %s", said)
    assert "ValueError: " in out.getvalue()
    assert out.getvalue().count("(address)") >= 2
    assert "@" not in out.getvalue()
    assert "anna" not in out.getvalue()

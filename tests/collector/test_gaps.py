"""When events may have been lost, and when not."""

from __future__ import annotations

import pytest

from collector.gaps import MARGIN_SECONDS, Gap, Thread

STEADY = Thread("cpa", sound_at=100.0)
STOPPED = Thread("cpa", sound_at=100.0, stopped_at=100.0)


def test_the_first_contact_is_no_gap_but_a_crash_in_it_is() -> None:
    begun = Thread("cpa").begun(100.0, restarted=False, retention=60)
    assert begun.gap is None
    assert begun.begun(110.0, restarted=False, retention=60).gap == Gap("cpa", "crash", 40.0)


def test_an_end_in_order_is_no_gap_while_the_queue_keeps_everything() -> None:
    begun = STOPPED.begun(159.0, restarted=False, retention=60)
    assert begun.gap is None
    assert begun.stopped_at is None  # from now on an end without a word is a crash


@pytest.mark.parametrize(
    ("thread", "now", "restarted", "reason"),
    [
        (STEADY, 101.0, False, "crash"),
        (STOPPED, 101.0, True, "restart"),
        (STOPPED, 161.0, False, "retention"),
    ],
)
def test_a_gap_begins_at_the_last_sound_moment(
    thread: Thread, now: float, restarted: bool, reason: str
) -> None:
    gap = thread.begun(now, restarted=restarted, retention=60).gap
    assert gap is not None
    assert (gap.reason, gap.began_at, gap.ended_at) == (reason, 100.0, None)


def test_a_gap_ends_with_the_first_event_that_was_kept() -> None:
    thread, gap = STEADY.broken("disconnected", 105.0).resumed(130.0, 110.0, retention=60)
    assert gap == Gap("cpa", "disconnected", 100.0, 110.0 + MARGIN_SECONDS)
    assert thread == Thread("cpa", sound_at=130.0)


def test_where_emptying_the_queue_broke_off_what_it_still_holds_says_nothing() -> None:
    """Beside it a subscription ran: what that lost is younger than what the queue kept."""
    draining = STOPPED.begun(105.0, restarted=False, retention=60)
    crashed = draining.begun(120.0, restarted=False, retention=60)
    _, gap = crashed.resumed(130.0, 103.0, retention=60)
    assert gap == Gap("cpa", "crash", 100.0, 130.0)


def test_with_nothing_kept_it_ends_now() -> None:
    _, gap = STEADY.broken("disconnected", 105.0).resumed(130.0, None, retention=60)
    assert gap == Gap("cpa", "disconnected", 100.0, 130.0)


def test_what_the_queue_had_forgotten_ends_where_it_still_remembers() -> None:
    begun = STOPPED.begun(500.0, restarted=False, retention=60)
    _, gap = begun.resumed(501.0, None, retention=60)
    assert gap == Gap("cpa", "retention", 100.0, 441.0 + MARGIN_SECONDS)


def test_while_a_gap_goes_on_nothing_is_sound_and_it_stays_one_gap() -> None:
    broken = STEADY.broken("disconnected", 105.0)
    assert broken.sound(120.0) is broken
    assert broken.broken("crash", 125.0) is broken
    assert broken.stopped(126.0) is broken
    assert broken.because("restart").gap == Gap("cpa", "restart", 100.0)


def test_a_sound_moment_never_goes_back() -> None:
    assert STEADY.sound(99.0) is STEADY
    assert STEADY.sound(101.0).sound_at == 101.0


def test_a_gap_lasts_until_now_while_it_goes_on() -> None:
    assert Gap("cpa", "crash", 100.0).seconds(107.5) == 7.5
    assert Gap("cpa", "crash", 100.0, 101.0).seconds(107.5) == 1.0

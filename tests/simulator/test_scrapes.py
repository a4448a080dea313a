"""Which scrape sees what, compared with plain simulation of a process and its scraper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ScriptError
from simulator.history.scrapes import Scrapes

START = datetime(2026, 9, 1, tzinfo=UTC)
SECONDS = st.integers(0, 700)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@given(st.lists(SECONDS), st.lists(st.integers(1, 700), unique=True), st.integers(1, 90))
def test_counting_ticks_agrees_with_living_through_them(
    moments: list[int], restarts: list[int], interval: int
) -> None:
    scrapes = Scrapes(START, after(600), interval, restarts=tuple(after(r) for r in sorted(restarts)))
    ticks = range(scrapes.count)
    seen = [(scrapes.seen(after(m)), scrapes.life(after(m))) for m in moments]
    for tick in ticks:
        now = tick * interval
        born = max((r for r in [0, *restarts] if r <= now), default=0)
        lived = sum(born <= m < now and m < 600 for m in moments)
        life = scrapes.life(after(now))
        assert lived == sum(t is not None and t <= tick and of == life for t, of in seen)


@given(st.lists(st.integers(1, 700), unique=True, min_size=1), st.integers(1, 90))
def test_the_first_tick_of_a_process_finds_it(restarts: list[int], interval: int) -> None:
    scrapes = Scrapes(START, after(600), interval, restarts=tuple(after(r) for r in sorted(restarts)))
    for life, restart in enumerate(scrapes.restarts, start=1):
        tick = scrapes.first_of(life)
        assert scrapes.at(tick) >= restart > scrapes.at(tick - 1)


def test_what_nobody_scraped_is_never_seen() -> None:
    scrapes = Scrapes(START, after(300), 60, restarts=(after(120), after(150)))
    assert scrapes.seen(after(59)) == 1
    assert scrapes.seen(after(60)) is None  # the scrape at 120 finds the new process
    assert scrapes.seen(after(130)) is None  # a process that no scrape has met
    assert scrapes.seen(after(150)) == 3
    assert scrapes.seen(after(-1)) is scrapes.seen(after(300)) is None


def test_gaps_have_no_ticks() -> None:
    scrapes = Scrapes(START, after(600), 60, gaps=((after(60), after(180)), (after(500), after(1_000))))
    assert scrapes.ticks() == [0, 3, 4, 5, 6, 7, 8]
    assert scrapes.ticks(range(2, 5)) == [3, 4]


def test_the_last_scrape_is_at_the_end() -> None:
    assert Scrapes(START, after(600), 60).count == 11
    assert Scrapes(START, after(599), 60).count == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end": START}, "must end after they start"),
        ({"interval_seconds": 0}, "interval_seconds = 0"),
        ({"restarts": (after(9), after(5))}, "in their order"),
        ({"restarts": (START,)}, "after the start"),
        ({"gaps": ((START, datetime(2026, 9, 2)),)}, "aware and in UTC"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        Scrapes(**{"start": START, "end": after(600), **changes})

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from exporter.collect import Once

NOW, LATER = datetime(2026, 9, 30, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)


def test_one_scrape_calls_once_and_the_next_one_again() -> None:
    calls: list[datetime] = []

    def call(now: datetime) -> int:
        calls.append(now)
        return len(calls)

    once = Once(call)
    assert [once.at(now) for now in (NOW, NOW, LATER, LATER)] == [1, 1, 2, 2]
    assert calls == [NOW, LATER]


def test_an_error_is_shared_and_over_with_the_scrape() -> None:
    answers: Iterator[Exception | int] = iter([LookupError("locked"), 7])

    def call(now: datetime) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    once = Once(call)
    for _ in range(2):
        with pytest.raises(LookupError, match="locked"):
            once.at(NOW)
    assert once.at(LATER) == 7

"""The ledger writer with a store that fails: waits, retries, bounds, and never writes twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic, sleep

import pytest

from ledger.errors import StoreError
from proxy.observers.ledger_writer import MAX_BATCH, LedgerWriter


class Shelf:
    """A store in memory that can be told to fail.

    Attributes:
        calls: each attempt's items, and whether it was one more try.
        trouble: what the next attempts raise, one each; None lets one through.
        poison: items that no store takes.
    """

    def __init__(self) -> None:
        self.items: list[int] = []
        self.calls: list[tuple[list[int], bool]] = []
        self.trouble: list[Exception | None] = []
        self.poison: set[int] = set()
        self.commits_before_failing = False

    def __call__(self, items: Sequence[int], *, again: bool) -> None:
        self.calls.append((list(items), again))
        if self.poison & set(items):
            raise TypeError("not an item")
        error = self.trouble.pop(0) if self.trouble else None
        if error is None or self.commits_before_failing:
            self.items += [i for i in items if not (again and i in self.items)]
        if error is not None:
            raise error


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def writer(shelf: Shelf, *, interval: float = 60.0, most: int = 100_000) -> LedgerWriter[int]:
    return LedgerWriter(shelf, interval=interval, max_waiting=most)


def until(true: Callable[[], object]) -> None:
    deadline = monotonic() + 5
    while not true():
        assert monotonic() < deadline, "what was awaited does not come"
        sleep(0.005)


def test_what_waits_is_stored_in_order_and_in_batches(shelf: Shelf) -> None:
    made = writer(shelf)
    made(range(MAX_BATCH + 5))
    made([-1])
    assert made.waiting == MAX_BATCH + 6
    made.flush()
    assert shelf.items == [*range(MAX_BATCH + 5), -1]
    assert [len(items) for items, _ in shelf.calls] == [MAX_BATCH, 6]
    assert (made.waiting, made.dropped, made.healthy) == (0, 0, True)


def test_nothing_to_store_is_no_transaction(shelf: Shelf) -> None:
    writer(shelf).flush()
    assert shelf.calls == []


def test_its_thread_stores_within_the_interval(shelf: Shelf) -> None:
    made = writer(shelf, interval=0.02)
    made.start()
    made([1])
    until(lambda: shelf.items == [1])
    made([2])
    until(lambda: shelf.items == [1, 2])
    made.close()


def test_closing_stores_what_waits_without_waiting_for_the_interval(shelf: Shelf) -> None:
    made = writer(shelf)
    made.start()
    made([1, 2])
    begun = monotonic()
    made.close()
    assert shelf.items == [1, 2]
    assert monotonic() - begun < 8


def test_an_outage_delays_and_loses_nothing(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.trouble = [StoreError("locked"), StoreError("locked")]
    made = writer(shelf)
    made([1])
    made.flush()
    assert not made.healthy
    made([2])
    made.flush()
    assert (made.waiting, shelf.items) == (2, [])
    made.flush()
    assert (shelf.items, made.waiting, made.dropped, made.healthy) == ([1, 2], 0, 0, True)
    assert [again for _, again in shelf.calls] == [False, True, True]
    assert caplog.text.count("cannot be written") == 1, "told once, not at every try"
    assert "can be written again" in caplog.text


def test_a_commit_that_was_not_confirmed_is_not_stored_twice(shelf: Shelf) -> None:
    shelf.commits_before_failing = True
    shelf.trouble = [StoreError("the connection broke after COMMIT")]
    made = writer(shelf)
    made([1, 2])
    made.flush()
    made([3])
    made.flush()
    assert shelf.items == [1, 2, 3]


def test_a_full_buffer_drops_the_newest_and_counts_them(shelf: Shelf) -> None:
    shelf.trouble = [StoreError("locked")]
    made = writer(shelf, most=5)
    made(range(3))
    made.flush()
    made(range(3, 10))
    made([10])
    assert (made.waiting, made.dropped) == (5, 6)
    made.flush()
    made([11])
    made.flush()
    assert shelf.items == [0, 1, 2, 3, 4, 11]


def test_an_item_that_no_store_takes_costs_only_itself(shelf: Shelf) -> None:
    shelf.poison = {3}
    made = writer(shelf)
    made(range(6))
    made.flush()
    assert shelf.items == [0, 1, 2, 4, 5]
    assert (made.waiting, made.dropped, made.healthy) == (0, 1, True)


def test_an_outage_amid_a_batch_with_such_an_item_counts_it_once(shelf: Shelf) -> None:
    shelf.poison = {1}
    shelf.trouble = [None, StoreError("locked"), StoreError("locked")]
    made = writer(shelf)
    made([0, 1, 2])
    for _ in range(4):
        made.flush()
    assert shelf.items == [0, 2]
    assert made.dropped == 1


def test_what_cannot_be_stored_by_the_end_is_counted_and_told(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.trouble = [StoreError("locked")] * 9
    made = writer(shelf)
    made.start()
    made([1, 2, 3])
    made.close()
    assert made.dropped == 3
    assert "3 finished requests could not be stored" in caplog.text


def test_a_store_that_hangs_does_not_hang_the_end(caplog: pytest.LogCaptureFixture) -> None:
    hanging = threading.Event()

    def store(items: Sequence[int], *, again: bool) -> None:
        hanging.wait(10)

    made: LedgerWriter[int] = LedgerWriter(store, interval=0.01, max_waiting=10)
    made.start()
    made([1])
    begun = monotonic()
    made.close(timeout=0.1)
    assert monotonic() - begun < 8
    assert made.dropped == 1
    hanging.set()


def test_items_that_come_while_others_are_stored_are_stored_too(shelf: Shelf) -> None:
    made = writer(shelf, interval=0.001)
    made.start()
    for number in range(2_000):
        made([number])
    made.close()
    assert shelf.items == list(range(2_000))

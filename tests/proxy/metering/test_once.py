"""Background responses and batch lines are counted once, whoever reads them how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from ledger.values import NO_USAGE, RequestEvent, Usage
from proxy.metering.once import CountedOnce, is_once, once_id

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent

USAGE = Usage(100, 20)


class Bench:
    def __init__(self, make_event: MakeEvent, most: int = 100) -> None:
        self.events: list[RequestEvent] = []
        self.once = CountedOnce(self.events.append, most)
        self._make = make_event

    def post(self, name: str | None = "resp_1", **fields: Any) -> RequestEvent:
        return self._pass(replace(self._make(), response_id=name, billable=True, **fields))

    def get(self, name: str | None = "resp_1", **fields: Any) -> RequestEvent:
        return self._pass(replace(self._make(), response_id=name, billable=False, **fields))

    def _pass(self, event: RequestEvent) -> RequestEvent:
        self.once(event)
        return self.events[-1]


@pytest.fixture
def bench(make_event: MakeEvent) -> Bench:
    return Bench(make_event)


def test_a_background_response_counts_when_a_read_first_shows_its_counts(bench: Bench) -> None:
    bench.post(usage=NO_USAGE, background=True)
    assert bench.get(usage=NO_USAGE, background=True).usage is NO_USAGE
    first = bench.get(usage=USAGE, background=True)
    assert (first.usage, first.billable, is_once(first)) == (USAGE, True, True)
    for _ in range(2):
        again = bench.get(usage=USAGE, background=True)
        assert (again.usage, again.billable, is_once(again)) == (NO_USAGE, False, False)
    assert len(bench.events) == 5


def test_one_that_another_process_asked_for_counts_too_and_has_the_same_id_there(
    bench: Bench, make_event: MakeEvent
) -> None:
    here = bench.get(usage=USAGE, background=True)
    there = Bench(make_event).get(usage=USAGE, background=True)
    assert here.id == there.id == once_id("response", "resp_1")


def test_a_stream_in_the_background_that_was_seen_to_its_end_is_counted(bench: Bench) -> None:
    assert bench.post(usage=USAGE, background=True).usage == USAGE
    assert bench.get(usage=USAGE, background=True).usage is NO_USAGE


def test_a_stored_answer_that_is_read_again_counts_no_more(bench: Bench) -> None:
    assert bench.post(usage=USAGE).usage == USAGE
    assert bench.get(usage=USAGE).usage is NO_USAGE
    assert bench.get("resp_of_another_day", usage=USAGE).usage is NO_USAGE


def test_an_answer_that_was_cut_counts_when_it_is_read_later(bench: Bench) -> None:
    bench.post(usage=NO_USAGE, status="cancelled")
    assert bench.get(usage=USAGE).usage == USAGE
    assert bench.get(usage=USAGE).usage is NO_USAGE


def test_events_without_an_id_pass(bench: Bench) -> None:
    assert [bench.post(None, usage=USAGE).usage, bench.post(None, usage=USAGE).usage] == [USAGE, USAGE]


def test_a_line_of_a_batch_is_one_event(bench: Bench, make_event: MakeEvent) -> None:
    line = replace(make_event(), id=once_id("batch", "batch_req_1"), batched=True)
    bench.once(line)
    bench.once(line)
    assert bench.events == [line]


def test_what_is_remembered_is_bounded(make_event: MakeEvent) -> None:
    bench = Bench(make_event, most=10)
    for number in range(100):
        bench.post(f"resp_{number}", usage=USAGE)
    assert len(bench.once._counted) == 10

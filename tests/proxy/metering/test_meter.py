"""One meter, one event: what the request said, what the answer said, and how it ended."""

from __future__ import annotations

from time import perf_counter

import pytest

from ledger.values import NO_USAGE, EndReason, RequestEvent, Status, Usage, UsageSample
from proxy.http.routes import Route
from proxy.metering.asked import Asked
from proxy.metering.event import Caller, new_id
from proxy.metering.meter import Meter

DELTA = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'
COMPLETED = (
    b'data: {"type":"response.completed","response":{"model":"served","service_tier":"flex",'
    b'"usage":{"input_tokens":5,"output_tokens":6}}}\n\n'
)
STREAM = {"Content-Type": "text/event-stream", "x-request-id": "req_upstream"}


class Bench:
    """A meter and what comes out of it."""

    def __init__(self, *, billable: bool = True) -> None:
        self.events: list[RequestEvent] = []
        self.samples: list[UsageSample] = []
        route = Route("responses", "/v1/responses", billable, "generates" if billable else "reads")
        caller = Caller("POST", route, "sk-a...wxyz", "req_client", "s-1", "agent/1")
        self.meter = Meter(caller, self.events.append, perf_counter(), self.samples.extend)
        self.meter.learn(Asked(model="asked", reasoning_effort="low", service_tier="auto"))

    @property
    def event(self) -> RequestEvent:
        (event,) = self.events
        return event


def test_a_whole_exchange() -> None:
    bench = Bench()
    bench.meter.answered(200, STREAM)
    bench.meter.feed(DELTA)
    bench.meter.feed(COMPLETED)
    bench.meter.finish("done")
    event = bench.event
    assert (event.status, event.end_reason, event.http_status) == ("success", "done", 200)
    assert (event.model, event.service_tier, event.reasoning_effort) == ("served", "flex", "low")
    assert event.usage == Usage(5, 6)
    assert (event.request_id, event.upstream_request_id) == ("req_client", "req_upstream")
    assert (event.session_id, event.user_agent, event.api_key_id) == ("s-1", "agent/1", "sk-a...wxyz")
    assert event.latency_first_token_ms is not None
    assert 0 < event.latency_first_token_ms <= event.latency_ms
    assert event.requested_at.utcoffset() is not None


@pytest.mark.parametrize("second", ["done", "client_gone", "shutdown"])
def test_only_the_first_end_counts(second: EndReason) -> None:
    bench = Bench()
    bench.meter.finish("timeout", http_status=504, error_code="upstream_timeout")
    bench.meter.finish(second)
    assert (bench.event.end_reason, bench.event.http_status) == ("timeout", 504)


@pytest.mark.parametrize(
    ("reason", "http", "code", "status"),
    [
        ("done", 200, None, "success"),
        ("done", 404, None, "error"),
        ("done", 200, "server_error", "error"),
        ("timeout", 200, None, "error"),
        ("upstream_error", 200, "upstream_broken", "error"),
        ("refused", 413, "request_too_large", "error"),
        ("shutdown", 200, None, "error"),
        ("client_gone", 200, None, "cancelled"),
        ("client_gone", 429, "rate_limit_exceeded", "cancelled"),
        ("client_gone", 0, None, "cancelled"),
    ],
)
def test_the_status_of_an_end(reason: EndReason, http: int, code: str | None, status: Status) -> None:
    bench = Bench()
    bench.meter.finish(reason, http_status=http, error_code=code)
    assert bench.event.status == status
    if status == "cancelled":
        assert bench.event.error_code is None


def test_a_stream_without_its_closing_event_is_eof() -> None:
    bench = Bench()
    bench.meter.answered(200, STREAM)
    bench.meter.feed(DELTA)
    bench.meter.finish("done")
    assert (bench.event.end_reason, bench.event.status) == ("eof", "success")


def test_what_costs_nothing_has_no_usage_and_is_not_read() -> None:
    bench = Bench(billable=False)
    bench.meter.answered(200, STREAM)
    bench.meter.feed(DELTA)
    bench.meter.feed(COMPLETED)
    bench.meter.finish("done")
    assert (bench.event.usage, bench.event.billable) == (NO_USAGE, False)
    assert bench.event.latency_first_token_ms is None


def test_the_error_of_a_read_is_told_all_the_same() -> None:
    bench = Bench(billable=False)
    bench.meter.answered(404, {"Content-Type": "application/json"})
    bench.meter.feed(b'{"error": {"code": "not_found", "message": "No response \'resp_1\'."}}')
    bench.meter.finish("done")
    assert (bench.event.error_code, bench.event.error_message) == ("not_found", "No response [...]")


def test_an_error_without_a_code_is_named_by_its_status() -> None:
    bench = Bench()
    bench.meter.answered(503, {"Content-Type": "text/html"})
    bench.meter.feed(b"<html>")
    bench.meter.finish("done")
    assert bench.event.error_code == "http_503"


def test_what_turned_into_something_else_is_no_event() -> None:
    bench = Bench()
    bench.meter.discard()
    bench.meter.finish("done")
    assert bench.events == []


def test_ids_never_repeat() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000
    assert len(new_id()) <= 40

"""Turns of one connection: metered one by one in their order, and told how they went."""

from __future__ import annotations

from time import time

import pytest

from ledger.values import RequestEvent
from proxy.errors import Refused
from proxy.http.routes import Route
from proxy.metering.event import Caller
from proxy.metering.meter import Meter
from proxy.routing.failure import Failure
from proxy.websocket.tunnel import Side
from proxy.websocket.turns import Turns

CREATE = b'{"type":"response.create","model":"asked"}'
COMPLETED = b'{"type":"response.completed","response":{"usage":{"input_tokens":%d,"output_tokens":1}}}'
FAILED = b'{"type":"response.failed","response":{"error":{"code":"server_error","message":"Oops."}}}'


class Bench:
    """Turns and what comes out of them."""

    def __init__(self) -> None:
        self.events: list[RequestEvent] = []
        self.told: list[tuple[float, Failure | None]] = []
        self.turns = Turns(self._meter, lambda began, failure: self.told.append((began, failure)))

    def _meter(self, start: float, message: bytes | None) -> Meter:
        caller = Caller("GET", Route("responses", "/v1/responses", True), "team", "req", None, None)
        return Meter(caller, self.events.append, start, lambda samples: None, "anna")


def test_answers_belong_to_turns_in_their_order() -> None:
    bench, before = Bench(), time()
    bench.turns.asked(b'{"type":"response.processed"}')
    assert not bench.turns.running
    bench.turns.asked(CREATE)
    bench.turns.asked(CREATE)
    for message in (COMPLETED % 5, None, FAILED, COMPLETED % 9):
        bench.turns.answered(message)
    assert not bench.turns.running
    assert [(e.usage.input_tokens, e.error_code) for e in bench.events] == [(5, None), (None, "server_error")]
    assert [failure for _, failure in bench.told] == [None, Failure(200, "server_error", "Oops.")]
    assert all(before <= began <= time() for began, _ in bench.told)


def test_a_refused_turn_is_metered_and_says_nothing_of_the_account() -> None:
    bench = Bench()
    bench.turns.refused(CREATE, Refused(429, "budget_exceeded", "spent"))
    bench.turns.refused(None, Refused(503, "no_account_paused", "paused"))
    found = [(e.end_reason, e.http_status, e.error_code, e.model, e.status) for e in bench.events]
    assert found == [
        ("refused", 429, "budget_exceeded", "asked", "error"),
        ("refused", 503, "no_account_paused", None, "error"),
    ]
    assert not bench.turns.running
    assert bench.told == []


@pytest.mark.parametrize(
    ("said", "side", "stopping", "reason", "failures"),
    [
        (None, "client", False, "client_gone", []),
        (None, "upstream", False, "upstream_error", [Failure(200, "upstream_broken")] * 2),
        ("client", "upstream", False, "client_gone", []),
        ("upstream", "client", False, "upstream_error", [Failure(200, "upstream_broken")] * 2),
        (None, "upstream", True, "shutdown", []),
    ],
)
def test_turns_end_with_their_connection(
    said: Side | None, side: Side, stopping: bool, reason: str, failures: list[Failure]
) -> None:
    bench = Bench()
    bench.turns.asked(CREATE)
    bench.turns.asked(CREATE)
    if said:
        bench.turns.closing(said)
    bench.turns.closed(side, stopping=stopping)
    assert [event.end_reason for event in bench.events] == [reason] * 2
    assert [failure for _, failure in bench.told] == failures

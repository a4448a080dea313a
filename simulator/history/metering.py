"""What one request adds to each of the proxy's counters and histograms, as the metric contract has it.

Written apart from the proxy on purpose: history that is charted must not inherit the proxy's mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from ledger.pricing.cost import price_event
from ledger.pricing.prices import PriceBook
from ledger.values import UNKNOWN_MODEL, RequestEvent
from metrics import proxy as m
from metrics.family import MetricFamily
from simulator.failures import error_class
from simulator.history.totals import KINDS, token_counts


@dataclass(frozen=True, slots=True)
class Step:
    """One series moves: a counter rises by an amount, or a histogram observes it.

    Attributes:
        labels: values in the family's order.
    """

    family: MetricFamily
    labels: tuple[str, ...]
    amount: Decimal


_ONE = Decimal(1)


def steps(event: RequestEvent, book: PriceBook) -> Iterator[Step]:
    model = event.model or UNKNOWN_MODEL
    yield Step(m.REQUESTS, (event.status, model, event.api), _ONE)
    yield Step(m.ACCOUNT_REQUESTS, (event.account_id, event.status, event.api), _ONE)
    yield Step(m.API_KEY_REQUESTS, (event.api_key_id,), _ONE)
    if event.project:
        yield Step(m.PROJECT_REQUESTS, (event.project,), _ONE)
    yield Step(m.HTTP_REQUESTS, (str(event.http_status), event.method, event.route), _ONE)
    if event.status == "error":
        yield Step(m.ERRORS, (event.error_code or "unknown",), _ONE)
        yield Step(m.ACCOUNT_ERRORS, (event.account_id, error_class(event.error_code)), _ONE)
        yield Step(m.KEY_ERRORS, (event.api_key_id,), _ONE)
    if event.status != "cancelled":
        yield from _times(event, model)
    if event.unmetered:
        yield Step(m.UNMETERED, (event.api, event.route), _ONE)
    if event.billable:
        yield from _tokens(event, model)
        yield from _cost(event, model, book)


def _times(event: RequestEvent, model: str) -> Iterator[Step]:
    latency = Decimal(str(event.latency_ms))
    yield Step(m.LATENCY, (model, event.api), latency)
    yield Step(m.HTTP_DURATION, (event.method, event.route), latency / 1000)
    if event.latency_first_token_ms is not None:
        first = Decimal(str(event.latency_first_token_ms))
        yield Step(m.TIME_TO_FIRST_TOKEN, (model, event.api), first)


def _tokens(event: RequestEvent, model: str) -> Iterator[Step]:
    counts = token_counts(event)
    for kind, number in zip(KINDS, counts, strict=True):
        if number:
            yield Step(m.TOKENS, (kind, model), Decimal(number))
            yield Step(m.ACCOUNT_TOKENS, (event.account_id, kind, event.api), Decimal(number))
    prompt, completion = counts[0], counts[1]
    if event.http_status == 200 and prompt + completion:
        yield Step(m.KEY_PROMPT_TOKENS, (event.api_key_id,), Decimal(prompt))
        yield Step(m.KEY_COMPLETION_TOKENS, (event.api_key_id,), Decimal(completion))
        yield Step(m.KEY_TOKENS, (event.api_key_id,), Decimal(prompt + completion))


def _cost(event: RequestEvent, model: str, book: PriceBook) -> Iterator[Step]:
    cost = price_event(book, event)
    if isinstance(cost, Decimal):
        yield Step(m.COST, (model,), cost)
        yield Step(m.ACCOUNT_COST, (event.account_id, event.api), cost)
        yield Step(m.KEY_COST, (event.api_key_id, model), cost)
        if event.project:
            yield Step(m.PROJECT_COST, (event.project,), cost)
    elif event.status == "success":
        yield Step(m.UNPRICED, (event.api, cost), _ONE)
        yield Step(m.ACCOUNT_UNPRICED, (event.account_id, event.api, cost), _ONE)

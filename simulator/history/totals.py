"""What a history adds up to, counted plainly, request by request: the truth that panels and queries are
compared with. Shares no code with the ledger but the price of one request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ledger.pricing.cost import Spend, price_event
from ledger.pricing.prices import PriceBook
from ledger.values import UNKNOWN_MODEL, RequestEvent

KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over some requests. Days are UTC, `YYYY-MM-DD`.

    Attributes:
        requests: number by (day, status, model).
        tokens: by (kind, model); cached_input is part of input, reasoning is part of output.
        cost_by_day, cost_by_account, cost_by_model: US dollars, and the successes without a price.
    """

    requests: Mapping[tuple[str, str, str], int]
    tokens: Mapping[tuple[str, str], int]
    cost_by_day: Mapping[str, Spend]
    cost_by_account: Mapping[str, Spend]
    cost_by_model: Mapping[str, Spend]

    @property
    def cost(self) -> Spend:
        return sum(self.cost_by_day.values(), Spend())

    def count(self, *, day: str | None = None, status: str | None = None, model: str | None = None) -> int:
        asked = (day, status, model)
        return sum(
            number
            for key, number in self.requests.items()
            if all(want is None or want == have for want, have in zip(asked, key, strict=True))
        )

    def token_count(self, kind: str) -> int:
        return sum(number for (of, _), number in self.tokens.items() if of == kind)


def totals(events: Iterable[RequestEvent], book: PriceBook) -> Totals:
    requests: Counter[tuple[str, str, str]] = Counter()
    tokens: Counter[tuple[str, str]] = Counter()
    by_day: defaultdict[str, Spend] = defaultdict(Spend)
    by_account: defaultdict[str, Spend] = defaultdict(Spend)
    by_model: defaultdict[str, Spend] = defaultdict(Spend)
    for event in events:
        day = event.requested_at.date().isoformat()
        model = event.model or UNKNOWN_MODEL
        requests[day, event.status, model] += 1
        for kind, number in zip(KINDS, token_counts(event), strict=True):
            tokens[kind, model] += number
        spend = spend_of(event, book)
        by_day[day] += spend
        by_account[event.account_id] += spend
        by_model[model] += spend
    return Totals(dict(requests), dict(tokens), dict(by_day), dict(by_account), dict(by_model))


def token_counts(event: RequestEvent) -> tuple[int, int, int, int, int]:
    """One request's tokens in the order of KINDS."""
    usage = event.usage
    return (
        usage.input_tokens or 0,
        usage.billed_output or 0,
        usage.billed_cached,
        usage.billed_cache_write + usage.billed_cache_write_1h,
        usage.reasoning_tokens or 0,
    )


def spend_of(event: RequestEvent, book: PriceBook) -> Spend:
    """One request's cost; a success without a price counts as unpriced, a failure without one does not."""
    if not event.billable:
        return Spend()
    cost = price_event(book, event)
    if isinstance(cost, Decimal):
        return Spend(cost)
    return Spend(unpriced_requests=int(event.status == "success"))

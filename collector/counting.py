"""Events -> what they add to the metrics. Pure.

The sums are stored in the transaction that settles the events, so they count each event once, and go on
where they were after any end of the process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ledger.pricing.cost import Unpriced
from ledger.pricing.counts import Counts
from ledger.pricing.prices import PriceBook
from ledger.requests.error_codes import KNOWN_CODES, error_class
from ledger.requests.sums.grouped import Group, Sums, group_cost, grouped
from ledger.values import UNKNOWN_MODEL, RequestEvent
from metrics import proxy as m
from metrics.family import MetricFamily

OTHER = "other"
MAX_LABEL = 100

Key = tuple[str, tuple[str, ...]]
"""A series: its name as scraped, without the bucket's suffix for le, and its label values."""

Increments = dict[Key, float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many values labels may have that callers can influence."""

    models: int
    keys: int
    codes: int


class Labels:
    """Lets values through up to a cap, those first that are known already; then answers `other`."""

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._known = set(known)
        self._most = most + len(self._known)

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(value) > MAX_LABEL or len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value

    def remember(self, values: Iterable[str]) -> None:
        """Values that have a series already; they count against the cap."""
        self._known |= set(values) - {OTHER}


class EventCounter:
    """Counts events into the proxy's families.

    Args:
        known: sums that are stored already; their label values keep their series.
    """

    def __init__(self, bounds: Bounds, known: Iterable[Key] = ()) -> None:
        self._model = Labels(bounds.models, (UNKNOWN_MODEL,))
        self._key = Labels(bounds.keys, ("unknown", "short_key"))
        self._project = Labels(bounds.keys)
        self._code = Labels(bounds.codes, KNOWN_CODES)
        series = list(known)
        self._model.remember(labels[1] for name, labels in series if name == m.REQUESTS.name)
        self._key.remember(labels[0] for name, labels in series if name == m.API_KEY_REQUESTS.name)
        self._project.remember(labels[0] for name, labels in series if name == m.PROJECT_REQUESTS.name)
        self._code.remember(labels[0] for name, labels in series if name == m.ERRORS.name)

    def count(self, events: Sequence[RequestEvent], book: PriceBook) -> Increments:
        into: Increments = defaultdict(float)
        for group, found in grouped(events).items():
            self._add(into, group, found, book)
        return into

    def _add(self, into: Increments, at: Group, found: Sums, book: PriceBook) -> None:
        model, key, n = self._model(at.model or UNKNOWN_MODEL), self._key(at.key), found.requests
        into[m.REQUESTS.name, (at.status, model, at.api)] += n
        into[m.ACCOUNT_REQUESTS.name, (at.account, at.status, at.api)] += n
        into[m.API_KEY_REQUESTS.name, (key,)] += n
        project = self._project(at.project) if at.project else None
        if project:
            into[m.PROJECT_REQUESTS.name, (project,)] += n
        into[m.HTTP_REQUESTS.name, (str(at.http_status), at.method, at.route)] += n
        observe(into, m.LATENCY, (model, at.api), found.latencies)
        observe(into, m.HTTP_DURATION, (at.method, at.route), [ms / 1000 for ms in found.latencies])
        observe(into, m.TIME_TO_FIRST_TOKEN, (model, at.api), found.first_tokens)
        if at.status == "error":
            code = at.error_code or "unknown"
            into[m.ERRORS.name, (self._code(code),)] += n
            into[m.ACCOUNT_ERRORS.name, (at.account, error_class(code, at.http_status))] += n
            into[m.KEY_ERRORS.name, (key,)] += n
        if at.billable:
            self._add_tokens(into, at, found, model, key)
            cost = group_cost(book, at, found)
            self._add_cost(into, at, found, model, cost)
            if isinstance(cost, Decimal):
                into[m.KEY_COST.name, (key, model)] += float(cost)
                if project:
                    into[m.PROJECT_COST.name, (project,)] += float(cost)

    def _add_tokens(self, into: Increments, at: Group, found: Sums, model: str, key: str) -> None:
        by_kind = found.by_kind()
        for kind, number in by_kind:
            into[m.TOKENS.name, (kind, model)] += number
            into[m.ACCOUNT_TOKENS.name, (at.account, kind, at.api)] += number
        if by_kind and at.http_status == 200:
            of = Counts(*found.counts)
            into[m.KEY_PROMPT_TOKENS.name, (key,)] += of.input
            into[m.KEY_COMPLETION_TOKENS.name, (key,)] += of.output
            into[m.KEY_TOKENS.name, (key,)] += of.input + of.output

    def _add_cost(
        self, into: Increments, at: Group, found: Sums, model: str, cost: Decimal | Unpriced
    ) -> None:
        if isinstance(cost, Decimal):
            into[m.COST.name, (model,)] += float(cost)
            into[m.ACCOUNT_COST.name, (at.account, at.api)] += float(cost)
        elif at.status == "success":
            into[m.UNPRICED.name, (at.api, cost)] += found.requests
            into[m.ACCOUNT_UNPRICED.name, (at.account, at.api, cost)] += found.requests


def observe(into: Increments, family: MetricFamily, labels: tuple[str, ...], values: Sequence[float]) -> None:
    """Add observations to a histogram: its buckets, each without those below it, and its sum."""
    if not values:
        return
    for value in values:
        index = bisect_left(family.buckets, value)
        bound = bucket_name(family.buckets[index] if index < len(family.buckets) else None)
        into[family.bucket, (*labels, bound)] += 1
    into[family.sum, labels] += sum(values)


def bucket_name(bound: float | None) -> str:
    """A bucket's label `le`; None is the last one."""
    return "+Inf" if bound is None else repr(bound)


def cumulated(
    family: MetricFamily, sums: Mapping[Key, float]
) -> dict[tuple[str, ...], tuple[list[int], float]]:
    """The stored sums of a histogram, by its labels: each bucket with those below it, and the sum."""
    found: dict[tuple[str, ...], tuple[list[int], float]] = {}
    places = {bucket_name(bound): place for place, bound in enumerate((*family.buckets, None))}
    for (name, labels), value in sums.items():
        if name == family.bucket:
            counts, _ = found.setdefault(labels[:-1], ([0] * len(places), 0.0))
            counts[places[labels[-1]]] += round(value)
    for labels, (counts, _) in found.items():
        for place in range(1, len(counts)):
            counts[place] += counts[place - 1]
        found[labels] = (counts, sums.get((family.sum, labels), 0.0))
    return found

"""What the collector answers Prometheus: the stored sums, and how it stands now."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from collector import sums
from collector.counting import Key, cumulated
from collector.gaps import REASONS
from collector.inbox import PENDING, Inbox
from collector.status import Status
from ledger.requests.error_codes import KNOWN_CODES
from metrics import collector as m
from metrics import proxy
from metrics.exposition import Beginnings, Exposition, Samples

TRANSPORTS = ("subscribe", "resp", "http")


def scrape(inbox: Inbox, statuses: Sequence[Status], beginnings: Beginnings) -> Exposition:
    """One scrape. Raises: InboxError."""
    pending = inbox.count(PENDING)
    with inbox.transaction() as connection:
        stored = sums.read(connection)
        newest = connection.execute("SELECT name, last_event_at FROM gateways").fetchall()
    values = {**_zeros([status.name for status in statuses]), **stored}
    values[m.PENDING.name, ()] = float(sum(pending.values()))
    values |= {(m.CONNECTED.name, (status.name,)): float(status.connected) for status in statuses}
    values |= {(m.LAST_EVENT.name, (name,)): at for name, at in newest if at is not None}
    return _exposition(values, beginnings).look(time.time())


def _zeros(gateways: Sequence[str]) -> dict[Key, float]:
    """`increase` never counts a counter's first value, so whatever is known beforehand begins at 0."""
    keys: list[Key] = [(proxy.ERRORS.name, (code,)) for code in KNOWN_CODES]
    for name in gateways:
        keys += [(m.EVENTS.name, (name, transport)) for transport in TRANSPORTS]
        keys += [(family.name, (name, reason)) for family in (m.GAPS, m.GAP_SECONDS) for reason in REASONS]
        keys.append((m.UNDECODABLE.name, (name,)))
    return dict.fromkeys(keys, 0.0)


def _exposition(values: Mapping[Key, float], beginnings: Beginnings) -> Exposition:
    by_name: dict[str, dict[tuple[str, ...], float]] = {}
    for (name, labels), value in values.items():
        by_name.setdefault(name, {})[labels] = value
    plain = [f for f in m.FAMILIES if f.kind != "histogram"]
    histograms = {f: cumulated(f, values) for f in m.FAMILIES if f.kind == "histogram"}
    samples = [Samples(family, by_name.get(family.name, {})) for family in plain]
    return Exposition(samples, beginnings, histograms, plain)

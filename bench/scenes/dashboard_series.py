"""Series as 1,000 accounts would leave them in a Prometheus: their number matters, not what they say."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from metrics import collector, exporter, proxy
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig

SCRAPE = RuleConfig().scrape_interval
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

MODELS = ("gpt-6.1-sol", "gpt-5.5", "gpt-5.4-mini", "gpt-4o-mini", "text-embedding-3-small", "other")
APIS = ("responses", "chat_completions", "embeddings")
STATUSES = ("success", "error", "cancelled")
KINDS = ("input", "output", "cached_input", "reasoning")
CLASSES = ("rate_limit", "quota", "upstream")
REASONS = ("unknown_pricing", "missing_usage")
KEYS = tuple(f"sk-p...k{number:03}" for number in range(50))
TIERS = ("pro", "plus", "team", "free")
HOW = (("full", "pinned"), ("memory", "none"), ("true", "false"))

_VALUES = {
    "model": MODELS,
    "api": APIS[:2],  # of one model; few have more
    "status": STATUSES,
    "kind": KINDS,
    "error_class": CLASSES,
    "reason": REASONS,
    "api_key": KEYS,
    "project": KEYS[:20],
    "tier": TIERS,
    "pool": HOW[0],
    "sticky_backend": HOW[1],
    "reallocate_sticky": HOW[2],
    "outcome": ("selected", "cooldown", "quota_exceeded", "no_available"),
    "event": ("rate_limit", "quota_exceeded", "permanent_failure", "error"),
    "code": ("invalid_api_key",),
    "method": ("POST",),
    "path": ("/v1/responses", "/v1/chat/completions"),
    "collector": ("accounts", "windows", "spend", "freshness"),
    "phase": ("poll",),
    "status_code": ("500",),
    "period": ("day",),
    "error_code": ("server_error",),
    "instance": ("127.0.0.1:8787",),
    "display": ("somebody@example.com",),
    "plan_type": ("plus",),
    "window": ("5h", "7d", "30d"),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """Families that are kept for some time at some interval."""

    families: Sequence[MetricFamily]
    length: timedelta
    every: timedelta = SCRAPE


def scraped(queries: str) -> Iterator[Kept]:
    """What a Prometheus has, as far as any panel reaches when a dashboard shows seven days.

    Args:
        queries: all of them: a family none of whose windows is read sample by sample needs no more samples
            than one for each look at it.
    """
    lines = (proxy.COST, proxy.REQUESTS)
    others = [f for f in proxy.FAMILIES if f not in lines]
    whole = {
        f
        for f in proxy.FAMILIES
        if re.search(rf"\b{f.bucket if f.buckets else f.name}({{[^}}]*}})?\[[^:\]]+\]", queries)
    }
    yield Kept([f for f in lines if f in whole], 15 * DAY)
    yield Kept([f for f in lines if f not in whole], 15 * DAY, _WITHIN_LOOKBACK)
    # With our rules, panels read two hours of counters by account.
    yield Kept([f for f in others if "account_id" in f.labels], 2 * HOUR)
    others = [f for f in others if "account_id" not in f.labels]
    yield Kept([f for f in others if f in whole], WEEK)
    yield Kept([f for f in others if f not in whole], WEEK, _WITHIN_LOOKBACK)
    yield Kept([f for f in exporter.FAMILIES if f in _OVER_TIME], WEEK, _WITHIN_LOOKBACK)
    yield Kept([f for f in exporter.FAMILIES if f not in _OVER_TIME], 2 * HOUR)
    yield Kept([collector.EVENTS, collector.GAP_SECONDS, collector.PENDING, collector.LAST_EVENT], WEEK)
    yield Kept(names.BUILT_IN, WEEK)


WEEK = 7 * DAY + HOUR
_WITHIN_LOOKBACK = timedelta(minutes=4)
"""A point of a line is the last sample before it, however many there are."""

_OVER_TIME = (
    *(exporter.SECONDARY_CREDITS, exporter.SECONDARY_USED, exporter.SECONDARY_RESET),
    *(exporter.SECONDARY_WINDOW, exporter.PRIMARY_USED, exporter.NEWEST_REQUEST, exporter.STORE_BYTES),
    *(exporter.COLLECTOR_DURATION, exporter.ACCOUNT_CYCLE_COST, exporter.IMPLIED_QUOTA_7D),
)
"""What panels ask of the exporter at every moment of the range; of the rest they ask the latest value."""


def recorded() -> Iterator[Kept]:
    """What our rules add."""
    minute = RuleConfig().evaluation_interval
    yield Kept([names.COST], 31 * DAY, minute)
    yield Kept([f for f in names.MINUTELY if f != names.COST], WEEK, minute)
    yield Kept([hourly.name for hourly in names.HOURLY], WEEK, HOUR)


def series(family: MetricFamily, accounts: int) -> list[str]:
    """Every series of a family, as text."""
    labels = dict.fromkeys((*names.JOB_AND_INSTANCE, *family.labels))
    given = _VALUES | {"account_id": _ids(accounts), "job": (_job(family),)}
    values = [given.get(label, ("x",)) for label in labels]
    found = []
    for some in product(*values):
        text = ",".join(f'{label}="{value}"' for label, value in zip(labels, some, strict=True))
        bounds = [f'le="{bound}"' for bound in (*family.buckets, "+Inf")]
        if family.kind == "histogram":
            found += [f"{family.bucket}{{{text},{bound}}}" for bound in bounds]
        else:
            found.append(f"{family.name}{{{text}}}")
    return found


def _job(family: MetricFamily) -> str:
    config = RuleConfig()
    if family in collector.OWN:
        return config.collector_job
    return config.exporter_job if family in exporter.FAMILIES else config.proxy_job


def fill(data: Path, kept: Sequence[Kept], accounts: int, now: datetime, promtool: str) -> None:
    """Write blocks into the data directory of a Prometheus."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "samples.txt")
        for some in kept:
            for family in some.families:
                _write(file, family, some, accounts, now)
                command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
                command += ["--max-block-duration=162h", str(file), str(data)]
                subprocess.run(command, check=True, capture_output=True)


def _write(file: Path, family: MetricFamily, kept: Kept, accounts: int, now: datetime) -> None:
    every = int(kept.every.total_seconds())
    end = int(now.timestamp()) // every * every
    first = end - int(kept.length.total_seconds())
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    with file.open("w", encoding="utf-8") as out:
        out.write(f"# TYPE {name} {'unknown' if family.kind == 'histogram' else family.kind}\n")
        for each in series(family, accounts):
            stamps = range(first, end + 1, every)
            out.write("".join(f"{each} {50 + place} {at}\n" for place, at in enumerate(stamps)))
        out.write("# EOF\n")


def _ids(accounts: int) -> tuple[str, ...]:
    return tuple(f"acc-{number:05}" for number in range(accounts))

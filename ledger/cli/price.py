"""`python -m ledger price`: what a request costs and why. Pure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from ledger.cli.moments import moment
from ledger.cli.tables import table
from ledger.errors import LedgerError
from ledger.pricing.cost import Part
from ledger.pricing.explain import Breakdown, explain
from ledger.pricing.prices import DAWN, Price, PriceBook
from ledger.values import Usage, billed_tier

MAX_COUNT = 10**12
_HEAD = ("KIND", "COUNT", "RATE", "FOR", "USD")
_COUNTS = {
    "input": "all input tokens",
    "cached": "input tokens read from a cache",
    "cache-write": "input tokens written to a cache (5 minutes, or lifetime unknown)",
    "cache-write-1h": "input tokens written to a cache for an hour",
    "output": "output tokens, including reasoning",
}
_UNITS = "units billed besides tokens: web_search, file_search, audio_seconds, characters or pages"


def add_price(sub: argparse.ArgumentParser) -> None:
    """The arguments of `price`."""
    sub.add_argument("--model", required=True, help="model name, as in a request")
    sub.add_argument("--provider", help="provider (default: the maker of the model)")
    sub.add_argument(
        "--at", type=moment, metavar="TIME", help="when the request ended, ISO 8601 (default: now)"
    )
    for name, meaning in _COUNTS.items():
        needed = name in ("input", "output")
        default = None if needed else 0
        sub.add_argument(
            f"--{name}", type=_count, metavar="N", required=needed, default=default, help=meaning
        )
    sub.add_argument("--unit", type=_unit, action="append", default=[], metavar="NAME=N", help=_UNITS)
    sub.add_argument("--tier", help="service tier in the response")
    sub.add_argument("--requested-tier", help="service tier in the request")
    sub.add_argument(
        "--login", action="store_true", help="request of a ChatGPT login: the requested tier sets the price"
    )
    sub.add_argument("--json", action="store_true", help="print one JSON object")


def price(book: PriceBook, asked: argparse.Namespace, now: datetime) -> str:
    """The answer to `price`. Raises: LedgerError for counts that contradict each other."""
    parts = asked.cached + asked.cache_write + asked.cache_write_1h
    if parts > asked.input:
        raise LedgerError(
            f"--input {asked.input}: allowed: {parts} or more, its cached and written tokens included"
        )
    usage = Usage(
        asked.input,
        asked.output,
        asked.cached,
        cache_write_tokens=asked.cache_write,
        cache_write_1h_tokens=asked.cache_write_1h,
    )
    tier = billed_tier(asked.tier, asked.requested_tier, asked.login)
    found = explain(
        book,
        asked.model,
        usage,
        asked.at or now,
        tier=tier,
        provider=asked.provider,
        extra_units=dict(asked.unit),
    )
    return json.dumps(price_object(found)) if asked.json else price_text(found)


def price_text(found: Breakdown) -> str:
    if found.price is None or found.usd is None:
        return f"{found.model}: no price ({found.unpriced})"
    rows = [
        (part.kind, f"{part.count:,}", _rate(part), f"{part.per:,}", plain(part.usd)) for part in found.parts
    ]
    total = ("total", "", "", "", plain(found.usd))
    return "\n".join([table(_HEAD, [*rows, total]), "", *_why(found, found.price)])


def _rate(part: Part) -> str:
    return "none" if part.rate is None else plain(part.rate)


def _why(found: Breakdown, price: Price) -> Iterable[str]:
    yield f"price: {price.provider or 'any provider'}/{price.model}, in force from {day_of(price)}"
    yield f"found: {', '.join(found.how)}"
    if price.alias_of:
        yield f"alias of: {price.alias_of}"
    yield f"tier: {found.tier or 'none'}; long context: {_above(found.context_above)}"
    if price.reason:
        yield f"reason: {price.reason} ({price.source}, {price.as_of})"


def price_object(found: Breakdown) -> dict[str, object]:
    """A cost taken apart, for a program; dollars are strings, digit by digit."""
    price = found.price
    return {
        "model": found.model,
        "provider": found.provider,
        "at": found.at.astimezone(UTC).isoformat(),
        "tier": found.tier,
        "context_above": found.context_above,
        "cost_usd": None if found.usd is None else plain(found.usd),
        "unpriced": found.unpriced,
        "found": list(found.how),
        "price": price
        and {
            "provider": price.provider,
            "model": price.model,
            "effective_from": day_of(price),
            "alias_of": price.alias_of,
            "origin": price.origin,
            "reason": price.reason,
            "source": price.source,
        },
        "parts": [
            {
                "kind": part.kind,
                "count": part.count,
                "rate": None if part.rate is None else plain(part.rate),
                "per": part.per,
                "usd": plain(part.usd),
            }
            for part in found.parts
        ],
    }


def plain(value: Decimal) -> str:
    """As few digits as say it, never with an exponent."""
    return f"{value.normalize():f}"


def day_of(price: Price) -> str:
    """From when on a price holds."""
    return "the beginning" if price.effective_from == DAWN else f"{price.effective_from:%Y-%m-%d}"


def _above(step: int) -> str:
    return f"above {step:,} input tokens" if step else "no"


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= MAX_COUNT):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: whole numbers from 0 to {MAX_COUNT}")
    return int(text)


def _unit(text: str) -> tuple[str, Decimal]:
    name, _, number = text.partition("=")
    try:
        found = Decimal(number)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r}: give it like web_search=2") from error
    if not name or not found.is_finite() or found < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give it like web_search=2")
    return name, found

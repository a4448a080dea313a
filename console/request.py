"""One request taken apart: its attempts, what it cost and why, its tokens."""

from __future__ import annotations

from sqlalchemy import Connection

from ledger.pricing.explain import Breakdown, explain
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import RequestDetail, RequestRow
from ledger.requests.failure_bodies import is_kept


def taken_apart(
    connection: Connection, book: PriceBook, number: int
) -> tuple[RequestDetail, Breakdown, bool] | None:
    """A request by its number, its price, and whether the provider's whole answer to it is kept; None where
    it is not there (any more)."""
    found = queries.request(connection, number, book)
    if found is None:
        return None
    row = found.row
    price = explain(
        book,
        row.model,
        row.usage,
        row.requested_at,
        tier=row.billed_tier,
        provider=row.provider,
        extra_units=row.extra_units,
    )
    return found, price, row.status == "error" and is_kept(connection, number)


def tokens(row: RequestRow) -> list[tuple[str, int]]:
    """Its tokens and units by kind, in words."""
    usage = row.usage
    named = (
        ("input", usage.input_tokens),
        ("read from a cache", usage.cached_input_tokens),
        ("written to a cache", usage.cache_write_tokens),
        ("written to a cache for an hour", usage.cache_write_1h_tokens),
        ("audio input", usage.audio_input_tokens),
        ("image input", usage.image_input_tokens),
        ("output", usage.output_tokens),
        ("reasoning", usage.reasoning_tokens),
        ("audio output", usage.audio_output_tokens),
        ("image output", usage.image_output_tokens),
    )
    found = [(word, value) for word, value in named if value is not None]
    return found + [(name.replace("_", " "), int(value)) for name, value in (row.extra_units or {}).items()]


def reason(price: Breakdown) -> str:
    """Why these rates: the price row, and how the model's name led to it."""
    if price.price is None:
        return ""
    row = price.price
    words = [f"Prices of {row.model}" + (f" at {row.provider}" if row.provider else "")]
    if price.tier:
        words.append(f"tier {price.tier}")
    if price.context_above:
        words.append(f"input above {price.context_above:,} tokens")
    words.append(
        f"from {row.effective_from:%Y-%m-%d} on" if row.effective_from.year > 2000 else "at all times"
    )
    words += [row.reason] if row.reason else []
    return ", ".join([*words, *price.how]) + "."

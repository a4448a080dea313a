"""One request as a text: its attempts, what it cost and why, its tokens, its sanitised failure. Pure."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from rich.text import Text

from console import formats as f
from console.request import reason, tokens
from console.terminal.words import columns
from ledger.pricing.explain import Breakdown
from ledger.requests.answers import RequestDetail, RequestRow

WHY = {
    "missing_model": "no price: the request named no model",
    "missing_usage": "no price: the provider did not say what it used",
    "unknown_pricing": "no price: no price is known for this model",
}


def request_text(detail: RequestDetail, price: Breakdown, kept: bool, zone: ZoneInfo, now: datetime) -> Text:
    row, text = detail.row, Text()
    for name, value in _facts(row, zone, now):
        if value and value != f.NOTHING:
            text.append(f"{name:10}", "dim")
            text.append(f"{value}\n")
    if row.status == "error":
        text.append("\nFailure\n", "bold")
        text.append(f"{f.text(row.error_code or row.error_class)}  {f.text(row.error_class)}\n", "red")
        text.append(f"{f.failure(row.error_message)}\n")
        if kept:
            text.append(f"The provider's whole answer: python -m ledger failure {row.id}\n", "dim")
    _block(text, f"Attempts: {len(detail.attempts)}", _attempts(detail, zone, now))
    _block(text, "Price", _price(price))
    counted = tokens(row)
    table = columns(("", "TOKENS"), [(word, f.number(value)) for word, value in counted], right=(1,))
    _block(text, "Tokens", table if counted else ["the provider did not say"])
    return text


def _block(text: Text, title: str, lines: list[str]) -> None:
    text.append(f"\n{title}\n", "bold")
    text.append("\n".join(lines) + "\n")


def _facts(row: RequestRow, zone: ZoneInfo, now: datetime) -> list[tuple[str, str]]:
    asked = (
        f", asked for {f.text(row.requested_model)}" if row.requested_model not in (None, row.model) else ""
    )
    first = row.latency_first_token_ms
    return [
        ("Ended", f"{f.moment(row.requested_at, zone)}, {f.ago(row.requested_at, now)}"),
        ("Model", f.text(row.model) + asked),
        ("Provider", f.text(row.provider)),
        ("Account", f.text(row.account_id)),
        ("Key", f.text(row.api_key_id)),
        ("Project", f.text(row.project)),
        ("Type", f.text(row.api) + (", streamed" if row.streamed else "")),
        ("HTTP", f"{f.text(row.http_status)} {f.text(row.end_reason, 30)}"),
        ("Latency", f.duration(row.latency_ms) + (f", first token {f.duration(first)}" if first else "")),
        ("Tier", f.text(row.billed_tier)),
        ("Effort", f.text(row.reasoning_effort)),
        ("Client", f.text(row.user_agent)),
        ("Session", f.text(row.session_id, 80)),
        ("Request", f.text(row.request_id, 80)),
    ]


def _attempts(detail: RequestDetail, zone: ZoneInfo, now: datetime) -> list[str]:
    rows = [
        (
            ("> " if one.id == detail.row.id else "  ") + f.clock(one.requested_at, zone, now),
            f.text(one.account_id, 30),
            f.text(one.http_status),
            f.text(one.status),
            f.duration(one.latency_ms),
            f.text(one.error_code, 40),
        )
        for one in detail.attempts
    ]
    return columns(("  ENDED", "ACCOUNT", "HTTP", "STATUS", "LATENCY", "FAILURE"), rows, right=(4,))


def _price(price: Breakdown) -> list[str]:
    if price.usd is None:
        return [WHY.get(price.unpriced or "", "no price")]
    rows = [
        (
            part.kind.replace("_", " "),
            f.number(part.count),
            f.NOTHING if part.rate is None else f"${part.rate} / {part.per:,}",
            f.exact_usd(part.usd),
        )
        for part in price.parts
    ]
    rows.append(("all", "", "", f.exact_usd(price.usd)))
    return [*columns(("KIND", "COUNT", "RATE", "US DOLLARS"), rows, right=(1, 2, 3)), reason(price)]

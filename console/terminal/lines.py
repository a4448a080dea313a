"""A snapshot as text: a table, one line, JSON, or what a person's format names. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from console import formats as f
from console.errors import ChoiceError
from console.export import money as as_json
from console.quota import Pace
from console.snapshot import NAMES, AccountQuota, Name, Period, Snapshot
from console.terminal import words
from console.terminal.words import Signs

Level = Literal["ok", "warn", "crit"]
SCHEMA = 1
"""Of the JSON: raised when a field goes or means something else; new fields may come at any time."""

PREFIXES: dict[str, Name] = {
    "hour": "hour",
    "today": "today",
    "week": "week",
    "month": "month",
    "12m": "12 months",
}
AMOUNTS = (
    *("cost", "change", "requests", "errors", "tokens", "input", "cached", "written", "output"),
    *("reasoning", "unpriced"),
)
WINDOWS = {"5h": "primary", "wk": "secondary"}
WINDOW_AMOUNTS = ("used", "reset", "bar", "pace")
OTHERS = ("account", "level", "time")
FIELDS = (
    *(f"{prefix}_{amount}" for prefix in PREFIXES for amount in AMOUNTS),
    *(f"{window}_{amount}" for window in WINDOWS for amount in WINDOW_AMOUNTS),
    *OTHERS,
)
"""Every name that a format may have."""

BAR = 10
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def level(snapshot: Snapshot, warn: float | None, crit: float | None) -> Level:
    """Where the fullest window of an account in use stands against the thresholds."""
    fullest = snapshot.fullest
    used = -1.0 if fullest is None or fullest.fullest is None else fullest.fullest
    if crit is not None and used >= crit:
        return "crit"
    return "warn" if warn is not None and used >= warn else "ok"


def table(found: Snapshot, signs: Signs) -> str:
    """For a person: the periods, then the windows of each account."""
    newest = f"last request {f.ago(found.newest, found.at)}" if found.newest else "no requests yet"
    lines = [f"{f.moment(found.at, found.zone)}{signs.dot}{newest}", ""]
    lines += period_table(found)
    windows = [
        _window_row(account, window, found, signs) for account in found.accounts for window in account.windows
    ]
    if windows:
        quota = ("ACCOUNT", "STATUS", "WINDOW", "", "USED", "RESETS", "PACE")
        lines += ["", *words.columns(quota, windows, right=(4, 5))]
    return signs.plain("\n".join(lines))


def period_table(found: Snapshot) -> list[str]:
    head = ("", "COST", "+/-", "REQ", "ERR", "INPUT", "CACHED", "WRITTEN", "OUTPUT", "REASON", "NOPRICE")
    keys = ("cost", "change", "requests", "errors", "input", "cached", "written", "output", "reasoning")
    rows = []
    for period in found.periods:
        amounts = words.amounts(period)
        rows.append([words.TITLES[period.name], *(amounts[key] for key in (*keys, "unpriced"))])
    return words.columns(head, rows, right=range(1, len(head)))


def _window_row(account: AccountQuota, window: Pace, found: Snapshot, signs: Signs) -> Sequence[str]:
    return (
        f.text(account.id, 20),
        f.text(account.status.replace("_", " "), 16),
        window.short,
        words.bar(window.used, BAR, signs),
        f.used(window.used),
        words.resets(window, found.at),
        words.leads(window, found.at),
    )


def oneline(found: Snapshot, signs: Signs) -> str:
    """For a status line: what today costs, and the account whose windows are fullest."""
    today = found.of("today").now
    parts = [f"today {words.money(today.usd)}" + (f" +{today.unpriced} unpriced" if today.unpriced else "")]
    account = found.fullest
    if account is not None:
        name = f"{f.text(account.id, 20)} " if len(found.accounts) > 1 else ""
        parts.append(name + " ".join(_short(window, found) for window in account.windows))
    return signs.plain(signs.dot.join(parts))


def _short(window: Pace, found: Snapshot) -> str:
    reset = words.resets(window, found.at, pad=False)
    name = "wk" if window.short == "week" else window.short
    return f"{name}:{f.used(window.used)}" + (f"({reset})" if reset else "")


def names_in(text: str) -> tuple[str, ...]:
    """The fields that a format names. Raises: ChoiceError."""
    found = [match for match in _FIELD.finditer(text) if match[0] not in ("{{", "}}")]
    for match in found:
        if match[1] not in FIELDS:
            raise ChoiceError(
                f"--format: {match[0]!r} is not a field; allowed: {', '.join(FIELDS)}, {{{{ and }}}}"
            )
    return tuple(match[1] for match in found)


def periods_in(text: str) -> tuple[Name, ...]:
    asked = {PREFIXES.get(name.partition("_")[0]) for name in names_in(text)}
    return tuple(name for name in NAMES if name in asked)


def formatted(text: str, found: Snapshot, reached: Level, signs: Signs) -> str:
    """A format with its fields filled in; what is not known is empty."""
    known = _fields(found, reached, signs)

    def put(match: re.Match[str]) -> str:
        return match[0][0] if match[0] in ("{{", "}}") else known.get(match[1], "")

    return signs.plain(_FIELD.sub(put, text))


def _fields(found: Snapshot, reached: Level, signs: Signs) -> Mapping[str, str]:
    account, at = found.fullest, found.at
    values = {"level": reached, "time": f"{at.astimezone(found.zone):%H:%M}"}
    values["account"] = f.text(account.id) if account else ""
    for prefix, name in PREFIXES.items():
        for period in found.periods:
            if period.name == name:
                values |= {f"{prefix}_{key}": text for key, text in words.amounts(period).items()}
    for prefix, slot in WINDOWS.items():
        for window in account.windows if account else ():
            if window.slot == slot:
                values[f"{prefix}_used"] = f.used(window.used)
                values[f"{prefix}_reset"] = words.resets(window, at, pad=False)
                values[f"{prefix}_bar"] = words.bar(window.used, BAR, signs)
                values[f"{prefix}_pace"] = words.leads(window, at)
    return values


def document(found: Snapshot, reached: Level) -> dict[str, Any]:
    """For programs; docs/terminal.md describes it."""
    return {
        "schema": SCHEMA,
        "at": f.iso(found.at),
        "zone": found.zone.key,
        "level": reached,
        "newest_request_at": f.iso(found.newest) if found.newest else None,
        "periods": [_period(period, found.at) for period in found.periods],
        "accounts": [_account(account, found) for account in found.accounts],
    }


def json_line(value: Any) -> str:
    """One line of JSON in ASCII, whatever the output is; money with all its digits."""
    return "".join(c if c.isascii() else json.dumps(c)[1:-1] for c in as_json(value))


def _period(period: Period, at: datetime) -> dict[str, Any]:
    now, counts = period.now, period.now.counts
    before = period.before
    return {
        "name": period.name.replace(" ", "_"),
        "since": f.iso(period.since),
        "until": f.iso(at if period.name == "hour" else period.until),
        "cost_usd": now.usd,
        "unpriced_requests": now.unpriced,
        "requests": now.requests,
        "successes": now.successes,
        "errors": now.errors,
        "cancelled": now.cancelled,
        "input_tokens": counts.input,
        "cached_input_tokens": counts.cached_input,
        "cache_write_tokens": counts.cache_write + counts.cache_write_1h,
        "output_tokens": counts.output,
        "reasoning_tokens": now.reasoning,
        "before": None if before is None else {"cost_usd": before.usd, "requests": before.requests},
    }


def _account(account: AccountQuota, found: Snapshot) -> dict[str, Any]:
    return {
        "id": account.id,
        "plan": account.plan,
        "status": account.status,
        "standing": account.standing,
        "windows": [_window(window, found) for window in account.windows],
    }


def _window(window: Pace, found: Snapshot) -> dict[str, Any]:
    reset, empty = window.reset_at, window.empty_at
    ahead = reset is not None and reset > found.at
    return {
        "slot": window.slot,
        "minutes": window.minutes,
        "used_percent": window.used,
        "reset_at": f.iso(reset) if reset else None,
        "resets_in_seconds": int((reset - found.at).total_seconds()) if reset and ahead else None,
        "empty_at": f.iso(empty) if empty else None,
        "left_percent_at_reset": window.lasts,
    }

"""A provider that knows its accounts: answers use up their quota, and say so in headers. It goes on where a
history ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from ledger.pricing.cost import TokenSum, price_metered
from ledger.pricing.counts import Counts, count_values
from ledger.pricing.prices import PriceBook
from ledger.pricing.steps import context_step
from simulator.errors import OutputError, ScriptError
from simulator.history.fleet import account_key
from simulator.history.quota import QuotaWindow
from simulator.provider.limits import RateLimits, Window
from simulator.provider.log import masked
from simulator.provider.plausible import Plausible
from simulator.provider.script import Answer, Asked, Refuse

Windows = Mapping[str, tuple[QuotaWindow, QuotaWindow]]
"""The short window and the week of each account, by its id."""

USED_UP = Refuse(429, "usage_limit_reached", "quota", "The usage limit has been reached.")


@dataclass(frozen=True, slots=True)
class FleetPlay:
    """Plausible answers that count against the quota of the account whose key asks; one whose week or short
    window is used up is refused. Keys of nobody get answers all the same."""

    play: Plausible
    windows: Windows
    book: PriceBook

    def answer(self, asked: Asked) -> Answer:
        """One answer, with the account's windows as they are after it."""
        answer, pair = self.play.answer(asked), self._windows(asked)
        if pair is None:
            return answer
        now = datetime.now(UTC)
        if any(window.spent_usd >= window.worth_usd and now < window.resets_at for window in pair):
            return replace(answer, fault=USED_UP, limits=_limits(pair, now))
        for window in pair:
            window.take(self._cost(asked, answer, now), now)
        return replace(answer, limits=_limits(pair, now))

    def _windows(self, asked: Asked) -> tuple[QuotaWindow, QuotaWindow] | None:
        known = (id for id in self.windows if masked(f"Bearer {account_key(id)}") == asked.authorization)
        return next((self.windows[id] for id in known), None)

    def _cost(self, asked: Asked, answer: Answer, now: datetime) -> float:
        if answer.fault is not None:
            return 0.0
        used = TokenSum(
            model=asked.model,
            service_tier=answer.service_tier,
            context_above=context_step(answer.usage.input_tokens),
            at=now,
            metered=1,
            unmetered=0,
            counts=Counts(*count_values(answer.usage, None)),
        )
        cost = price_metered(self.book, used)
        return float(cost) if isinstance(cost, Decimal) else 0.0


def _limits(pair: tuple[QuotaWindow, QuotaWindow], now: datetime) -> RateLimits:
    short, week = (_told(window, now) for window in pair)
    return RateLimits(short, week)


def _told(window: QuotaWindow, now: datetime) -> Window:
    sample = window.sample("", now, step=1.0)
    return Window(sample.used_percent, sample.window_minutes, sample.reset_at)


def save(windows: Windows, file: Path) -> None:
    """Keep the windows of a fleet for a provider that goes on with them.

    Raises: OutputError.
    """
    known = {
        id: [asdict(window) | {"resets_at": window.resets_at.isoformat()} for window in pair]
        for id, pair in windows.items()
    }
    try:
        file.write_text(json.dumps(known), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}") from error


def load(file: Path) -> Windows:
    """What `save` has kept.

    Raises: ScriptError where it is something else.
    """
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {id: (_window(pair[0]), _window(pair[1])) for id, pair in known.items()}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ScriptError(f"{file} holds no fleet that `simulator history --fleet` has written") from error


def _window(kept: Mapping[str, object]) -> QuotaWindow:
    at = datetime.fromisoformat(str(kept["resets_at"]))
    return QuotaWindow(**{**kept, "resets_at": at})  # type: ignore[arg-type]  # of our own making

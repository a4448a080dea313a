"""How good is the quota estimate? A thousand accounts whose true quotas are known, by each set of rules."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.scenes.quota_accounts import Simulated, accounts
from ledger.pricing.files import book, load_seed
from ledger.pricing.rates import RateTable
from ledger.quota.cycle import WOBBLE_SECONDS, current, cycles_of
from ledger.quota.estimate import QuotaRules, estimate

ACCOUNTS = 1_000
BADLY = 0.10
"""More than this share of use beyond the proxy, or this far from the truth, is bad."""

RULES = {
    "the fork's": QuotaRules(),
    "whole_cycle (default)": QuotaRules(),
    "clean_steps": QuotaRules(method="clean_steps"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one account: `ratio` is estimate by truth, None where nothing was said."""

    outside: float
    ratio: float | None

    @property
    def wrong(self) -> bool:
        return self.ratio is not None and abs(self.ratio - 1) > BADLY


def answers(name: str, simulated: Sequence[Simulated]) -> list[Answer]:
    """What one set of rules says of every account."""
    rules, plain = RULES[name], name == "the fork's"
    found = []
    for account in simulated:
        cycle = current(cycles_of(account.readings, wobble_seconds=0 if plain else WOBBLE_SECONDS))
        usd = estimate(cycle, account.requests(plain), account.now, rules).usd
        known = usd is not None and not math.isnan(usd)
        found.append(Answer(account.outside, usd / account.quota_usd if known and usd is not None else None))
    return found


def compare(number: int = ACCOUNTS) -> dict[str, list[Answer]]:
    """Every set of rules over the same accounts."""
    simulated = list(accounts(number, RateTable(book(load_seed()))))
    return {name: answers(name, simulated) for name in RULES}


def table(results: dict[str, list[Answer]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| rules | accounts with an estimate | median error | 90 % are within | wrong by over 10 % "
        "| badly biased that slip through |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, found in results.items():
        errors = [abs(answer.ratio - 1) for answer in found if answer.ratio is not None]
        biased = [answer for answer in found if answer.outside > BADLY]
        figures = (
            len(errors) / len(found),
            statistics.median(errors),
            statistics.quantiles(errors, n=10)[8],
            sum(answer.wrong for answer in found) / len(errors),
            sum(answer.wrong for answer in biased) / len(biased),
        )
        lines.append(f"| {name} | " + " | ".join(f"{100 * figure:.1f} %" for figure in figures) + " |")
    return "\n".join(lines)


def plot(results: dict[str, list[Answer]], path: Path) -> None:
    """Estimate by truth against the share of use beyond the proxy, one panel for each set of rules."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(results), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for panel, (name, found) in zip(panels, results.items(), strict=True):
        _panel(panel, name, found)
    panels[0].set_ylabel("estimated quota / true quota")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _panel(panel: Any, name: str, found: Sequence[Answer]) -> None:
    given = [(100 * a.outside, min(a.ratio, 1.6)) for a in found if a.ratio is not None]
    silent = [100 * a.outside for a in found if a.ratio is None]
    panel.axhspan(1 - BADLY, 1 + BADLY, color="#dcefe0", label="within 10 %")
    panel.scatter(
        *zip(*given, strict=True), s=9, alpha=0.5, color="#1f6fb2", linewidths=0, label="estimate given"
    )
    panel.scatter(silent, [0.03] * len(silent), s=16, marker="|", color="#c8442d", label="suppressed")
    panel.axvline(100 * BADLY, color="#888888", linewidth=0.8, linestyle=":")
    panel.set(title=f"{name}: {len(given)} of {len(found)}", xlim=(-2, 102), ylim=(0, 1.6))
    panel.set_xlabel("use beyond the proxy, %")
    panel.legend(loc="upper right", fontsize=8)

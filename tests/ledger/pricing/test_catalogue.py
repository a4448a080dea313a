"""The whole catalogue against the library that it was made from: equal to the last digit, or a difference
that the override file explains."""

from __future__ import annotations

import re
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from genai_prices import data as library
from genai_prices import types

from ledger.pricing.explain import explain
from ledger.pricing.files import OVERRIDES, catalogue_source, load_catalogue
from ledger.pricing.library import CONDITIONS, KINDS, library_prices, library_version
from ledger.pricing.names import canonical
from ledger.pricing.prices import PriceBook
from ledger.values import Usage

BOOK = PriceBook(load_catalogue())
DIFFERENCES = {entry["id"]: entry for entry in tomllib.loads(OVERRIDES.read_text())["difference"]}
CHECKED = date(2026, 10, 15)
"""From this day on the library has tiers; what they cost before is `tier_history`."""


@dataclass(frozen=True)
class Case:
    provider: types.Provider
    model: types.ModelInfo
    usage: Usage
    units: dict[str, Decimal]
    tier: str | None
    at: datetime


def cases(models: int = 500, usages: int = 20) -> Iterator[Case]:
    """Models of every provider, each with usages that have all kinds, long and short, old and new."""
    random = Random(13)
    every = [(provider, model) for provider in library.providers for model in provider.models]
    for provider, model in random.sample(every, models):
        for _ in range(usages):
            yield Case(provider, model, usage(random), units(random), tier(random, model), moment(random))


def usage(random: Random) -> Usage:
    total = random.choice([random.randint(0, 5_000), random.randint(0, 1_000_000)])
    cuts = sorted(random.randint(0, total) for _ in range(4))
    cached, written, written_1h = cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1]
    return Usage(total, random.randint(0, 50_000), cached, None, written, written_1h)


def units(random: Random) -> dict[str, Decimal]:
    return {"web_search": Decimal(random.randint(1, 5))} if random.random() < 0.2 else {}


def tier(random: Random, model: types.ModelInfo) -> str | None:
    conditions = [next(iter(v.when.items())) for v in model.price_variants or () if len(v.when) == 1]
    return CONDITIONS.get(random.choice(conditions)) if conditions and random.random() < 0.5 else None


def moment(random: Random) -> datetime:
    month, day = random.choice([(1, 1), (7, 15), (8, 25), (11, 28)])
    return datetime(2026, month, day, random.randint(0, 23), tzinfo=UTC)


def explained(case: Case) -> str | None:
    """The id of the difference that a case falls under."""
    name = f"{canonical(case.provider.id)}/{case.model.id.lower()}"
    if name in DIFFERENCES["hours_of_day"]["models"]:
        return "hours_of_day"
    if name in DIFFERENCES["least_length"]["models"]:
        return "least_length"
    if case.tier and case.at.date() < CHECKED:
        return "tier_history"
    return None


def theirs(case: Case) -> Decimal:
    """What the library says."""
    counts: dict[str, Any] = {
        "input_tokens": case.usage.input_tokens,
        "cache_read_tokens": case.usage.cached_input_tokens,
        "cache_write_tokens": (case.usage.cache_write_tokens or 0) + (case.usage.cache_write_1h_tokens or 0),
        "cache_write_1h_tokens": case.usage.cache_write_1h_tokens,
        "output_tokens": case.usage.output_tokens,
        "web_searches": int(case.units.get("web_search", 0)),
    }
    # of what is not said the library takes nothing for some kinds, and refuses to guess for others
    counts |= dict.fromkeys(("input_audio_tokens", "output_audio_tokens", "cache_audio_read_tokens"), 0)
    counts |= dict.fromkeys(("input_image_tokens", "output_image_tokens", "cache_image_read_tokens"), 0)
    contexts = [key for key, known in CONDITIONS.items() if known == case.tier]
    variants = [next(iter(variant.when.items())) for variant in case.model.price_variants or ()]
    context = dict([next(key for key in contexts if key in variants)]) if case.tier else None
    price = case.model.calc_price(
        types.Usage(**counts), case.provider, genai_request_timestamp=case.at, price_context=context
    )
    return price.total_price


def ours(case: Case) -> Decimal | None:
    found = explain(
        BOOK,
        case.model.id,
        case.usage,
        case.at,
        tier=case.tier,
        provider=case.provider.id,
        extra_units=case.units,
    )
    return found.usd


def test_500_models_and_20_usages_each_cost_what_the_library_says() -> None:
    tried = list(cases())
    compared, wrong, left_out = 0, [], dict.fromkeys(DIFFERENCES, 0)
    for case in tried:
        if why := explained(case):
            left_out[why] += 1
            continue
        compared += 1
        expected, found = theirs(case), ours(case)
        if found is None or abs(found - expected) > Decimal("1e-18"):
            wrong.append((case.provider.id, case.model.id, case.tier, case.at, case.usage, expected, found))
    assert len(tried) == 10_000
    assert wrong == []
    assert compared > 9_500, left_out


def test_the_catalogue_is_what_the_installed_library_says() -> None:
    assert catalogue_source().startswith(library_version())
    assert load_catalogue() == library_prices()


def test_the_tests_have_the_library_that_the_catalogue_was_made_from() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    pinned = [p for p in project["dependency-groups"]["tests"] if str(p).startswith("genai-prices==")]
    assert pinned == [library_version().replace(" ", "==")]
    assert not [p for p in project["project"]["dependencies"] if p.startswith("genai-prices")]


def test_every_kind_that_is_left_out_is_listed() -> None:
    every = {
        key
        for provider in library.providers
        for model in provider.models
        for prices in all_prices(model)
        for key, value in vars(prices).items()
        if value is not None
    }
    assert every - set(KINDS) == set(DIFFERENCES["uncounted_kinds"]["kinds"])


def test_every_condition_that_is_left_out_is_listed() -> None:
    every = {
        condition
        for provider in library.providers
        for model in provider.models
        for variant in model.price_variants or ()
        for condition in variant.when.items()
    }
    left_out = {name for name, value in every if (name, value) not in CONDITIONS}
    assert left_out - {"service_tier"} == set(DIFFERENCES["unsaid_conditions"]["conditions"])
    tiers = {value for name, value in every if name == "service_tier"}
    assert tiers == {"default", "flex", "priority", "fast"}


def test_every_model_with_hours_of_the_day_is_listed() -> None:
    hourly = {
        f"{canonical(provider.id)}/{model.id.lower()}"
        for provider in library.providers
        for model in provider.models
        if isinstance(model.prices, list)
        and any(hasattr(entry.constraint, "start_time") for entry in model.prices)
    }
    assert hourly <= set(DIFFERENCES["hours_of_day"]["models"])


def all_prices(model: types.ModelInfo) -> Iterator[types.ModelPrice]:
    if isinstance(model.prices, list):
        yield from (entry.prices for entry in model.prices)
    else:
        yield model.prices
    yield from (variant.prices for variant in model.price_variants or ())


@pytest.mark.parametrize("entry", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_a_difference_says_what_why_from_where_and_when(entry: dict[str, Any]) -> None:
    assert len(entry["what"]) > 20
    assert len(entry["reason"]) > 20
    assert re.search(r"genai-prices|https://", entry["source"])
    assert isinstance(entry["as_of"], date)


def test_tiers_cost_their_ratio_before_the_library_checked_them() -> None:
    before, after = datetime(2026, 8, 25, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)
    for name in ("gpt-5.6-sol", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini"):
        for tier in ("priority", "flex", "batch", None):
            costs = [
                explain(BOOK, name, Usage(300_000, 1_000, 5), at, tier=tier, provider="openai").usd
                for at in (before, after)
            ]
            assert costs[0] == costs[1]
    sol = [
        explain(BOOK, "gpt-5.6-sol", Usage(1_000_000, 0), datetime(2026, 7, 1, tzinfo=UTC), tier=t).usd
        for t in ("priority", "flex")
    ]
    assert sol == [Decimal(20), Decimal(5)]


def test_the_library_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        library_prices()

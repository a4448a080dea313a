"""The whole catalogue against the library that it was made from: equal to the last digit, or a difference
that the override file explains."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from genai_prices import data as library
from genai_prices import types

from ledger.cli.arguments import parser
from ledger.cli.price import price as answer
from ledger.pricing.explain import explain
from ledger.pricing.files import OVERRIDES, catalogue_source, current_book, load_catalogue
from ledger.pricing.library import CONDITIONS, KINDS, library_prices, library_version
from ledger.pricing.names import canonical
from ledger.pricing.prices import PriceBook
from ledger.values import Usage

BOOK = current_book({})
"""The prices that `python -m ledger price` has: those of the library under our overrides."""

PARSER = parser()
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
    counts |= dict.fromkeys(("cache_audio_read_tokens", "cache_image_read_tokens"), 0)
    for side in ("input", "output"):
        for kind in ("audio", "image"):
            counts[f"{side}_{kind}_tokens"] = getattr(case.usage, f"{kind}_{side}_tokens") or 0
    contexts = [key for key, known in CONDITIONS.items() if known == case.tier]
    variants = [next(iter(variant.when.items())) for variant in case.model.price_variants or ()]
    context = dict([next(key for key in contexts if key in variants)]) if case.tier else None
    price = case.model.calc_price(
        types.Usage(**counts), case.provider, genai_request_timestamp=case.at, price_context=context
    )
    return price.total_price


def told(case: Case, book: PriceBook = BOOK) -> dict[str, Any]:
    """What `python -m ledger price --json` prints."""
    usage = case.usage
    numbers = {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cached": usage.cached_input_tokens,
        "cache-write": usage.cache_write_tokens,
        "cache-write-1h": usage.cache_write_1h_tokens,
    }
    words = ["price", "--json", "--provider", case.provider.id, "--at", case.at.isoformat()]
    words += [f"--model={case.model.id}", *(f"--{name}={number or 0}" for name, number in numbers.items())]
    words += [f"--unit={name}={number}" for name, number in case.units.items()]
    words += [f"--tier={case.tier}"] if case.tier else []
    found: dict[str, Any] = json.loads(answer(book, PARSER.parse_args(words), case.at))
    return found


def differing(tried: Iterable[Case], book: PriceBook = BOOK) -> tuple[int, list[tuple[object, ...]]]:
    """How many were compared, and those that cost something else than the library says, though neither a
    listed difference nor a price of the override file explains it."""
    compared, wrong = 0, list[tuple[object, ...]]()
    for case in tried:
        if explained(case):
            continue
        found, expected = told(case, book), theirs(case)
        price = found["price"] or {}
        if price.get("origin") == "override" and price["reason"] and price["source"]:
            continue
        compared += 1
        if found["cost_usd"] is None or abs(Decimal(found["cost_usd"]) - expected) > Decimal("1e-18"):
            wrong.append((case.provider.id, case.model.id, case.tier, case.at, case.usage, expected, found))
    return compared, wrong


@pytest.mark.slow
def test_500_models_and_20_usages_each_cost_what_the_library_says() -> None:
    tried = list(cases())
    assert len(tried) == 10_000
    assert len({(case.provider.id, case.model.id) for case in tried}) == 500
    compared, wrong = differing(tried)
    assert wrong == []
    assert compared > 9_500


@pytest.mark.parametrize("kind", ["input", "output", "cached_input", "cache_write", "cache_write_1h"])
def test_the_comparison_sees_one_rate_that_is_a_thousandth_off(kind: str) -> None:
    tried = [case for case in cases(200) if not explained(case) and case.tier is None]
    models = {(canonical(case.provider.id), case.model.id.lower()): case.model for case in tried}
    prices = list(BOOK.prices)
    for place, price in enumerate(prices):
        if (model := models.get((price.provider, price.model))) and (rate := getattr(price.card.rates, kind)):
            rates = replace(price.card.rates, **{kind: rate * Decimal("1.001")})
            prices[place] = replace(price, card=replace(price.card, rates=rates))
            break
    _, wrong = differing((case for case in tried if case.model is model), PriceBook(prices))
    assert len(wrong) > 1


def test_sound_and_images_cost_what_the_library_says() -> None:
    """The command does not take them; what it is made of does."""
    random, compared = Random(14), 0
    priced = ("input_audio_mtok", "output_audio_mtok", "input_image_mtok", "output_image_mtok")
    for provider in library.providers:
        for model in provider.models:
            at = datetime(2026, 11, 28, 12, tzinfo=UTC)
            case = Case(provider, model, Usage(), {}, None, at)
            if explained(case) or not any(getattr(p, n, None) for p in all_prices(model) for n in priced):
                continue
            for _ in range(20):
                parts = [random.randint(0, 9_000) for _ in range(6)]
                usage = Usage(
                    sum(parts[:3]), sum(parts[3:]), 0, None, 0, 0, *[parts[n] for n in (0, 3, 1, 4)]
                )
                case = replace(case, usage=usage)
                found = explain(BOOK, model.id, usage, at, provider=provider.id).usd
                assert found is not None
                assert abs(found - theirs(case)) <= Decimal("1e-18"), (provider.id, model.id, usage)
                compared += 1
    assert compared > 500


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

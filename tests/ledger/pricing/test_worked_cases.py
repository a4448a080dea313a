"""Costs that were wrong or missing once, worked by hand; what the parts of a cost add up to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from ledger.pricing.cost import Spend, price_event, price_request
from ledger.pricing.counts import counts_of
from ledger.pricing.explain import explain
from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates
from ledger.pricing.rates import RateTable
from ledger.quota.running import PICO_PER_USD, UNPRICED
from ledger.reader.foreign import micros
from ledger.requests.queries import account_sums
from ledger.requests.writes import record
from ledger.values import RequestEvent, Usage
from tests.support.sums import price_sums

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
BOOK = book(load_seed())
CLAUDE = Card(Rates(Decimal(5), Decimal(25), Decimal("0.5"), Decimal("6.25"), Decimal(10)))

number = st.one_of(st.none(), st.integers(-3, 10**6))
USAGES = st.builds(Usage, st.integers(0, 10**6), st.integers(0, 10**6), *[number] * 8)
UNITS = st.dictionaries(
    st.sampled_from(["web_search", "file_search", "audio_seconds", "characters", "pages", "other"]),
    st.decimals(0, 10_000, places=3),
)
MODELS = st.sampled_from([(p.provider, p.model) for p in BOOK.prices if "*" not in p.model])
TIERS = st.sampled_from([None, "priority", "fast", "flex", "batch", "auto", "default"])


def event(make_event: Any, **changes: Any) -> RequestEvent:
    made: RequestEvent = make_event(**{"requested_at": NOW, "provider": "openai", **changes})
    return made


@pytest.mark.parametrize(
    ("changes", "usd"),
    [
        # 3 * 4 + 18011 * 5 + 500 * 20
        (
            {"model": "gpt-5.6-sol", "usage": Usage(18_014, 500, 0, 0, 18_011)},
            "0.100067",
        ),
        # 200000 * 1 + 100000 * 6: before its price fell on 2026-07-30
        (
            {
                "model": "gpt-5.6-luna",
                "usage": Usage(200_000, 100_000),
                "requested_at": datetime(2026, 7, 15, tzinfo=UTC),
            },
            "0.80",
        ),
        # (100000 * 4 + 1000 * 20) * 2: with a login the requested tier decides
        (
            {
                "model": "gpt-5.6-sol",
                "usage": Usage(100_000, 1_000),
                "login": True,
                "requested_service_tier": "fast",
                "service_tier": "default",
            },
            "0.84",
        ),
        # 300000 * 12.5 + 1000 * 75: priority of gpt-5.5 is flat, without a long-context price on top
        ({"model": "gpt-5.5", "usage": Usage(300_000, 1_000), "service_tier": "priority"}, "3.825"),
        # (300000 * 8 + 1000 * 30) * 2: that of sol is not
        ({"model": "gpt-5.6-sol", "usage": Usage(300_000, 1_000), "service_tier": "priority"}, "4.86"),
        # 300000 * 0.75 + 1000 * 4.5: it has no long-context price
        ({"model": "gpt-5.4-mini", "usage": Usage(300_000, 1_000)}, "0.2295"),
        # 100000 * 0.2 + 1000 * 1.2: Luna Reserve
        (
            {
                "model": "gpt-reserve",
                "usage": Usage(100_000, 1_000),
                "requested_at": datetime(2026, 9, 15, tzinfo=UTC),
            },
            "0.0212",
        ),
        # 10 uncached * 4 + 900 cached * 0.4 + 20 * 20: what a stream's last complete statement comes to
        ({"model": "gpt-5.6-sol", "usage": Usage(910, 20, 900)}, "0.0008"),
        # 1000 * 4 + 100 * 20, and two searches at 10 dollars a thousand
        (
            {"model": "gpt-5.6-sol", "usage": Usage(1_000, 100), "extra_units": {"web_search": Decimal(2)}},
            "0.026",
        ),
        # 90 seconds at 0.36 dollars an hour
        ({"model": "whisper-1", "usage": Usage(), "extra_units": {"audio_seconds": Decimal(90)}}, "0.009"),
        # an API key: the served tier decides, whatever was asked for
        (
            {
                "model": "gpt-5.6-sol",
                "usage": Usage(100_000, 1_000),
                "requested_service_tier": "priority",
                "service_tier": "default",
            },
            "0.42",
        ),
        # a priority request before the day on which the library checked the tier
        (
            {
                "model": "gpt-5.6-sol",
                "usage": Usage(100_000, 1_000),
                "service_tier": "priority",
                "requested_at": datetime(2026, 8, 1, tzinfo=UTC),
            },
            "1.06",
        ),
    ],
)
def test_worked_by_hand(make_event: Any, changes: dict[str, Any], usd: str) -> None:
    assert price_event(BOOK, event(make_event, **changes)) == Decimal(usd)


def test_a_claude_that_wrote_its_cache(make_event: Any) -> None:
    prices = PriceBook([Price("claude-x", DAWN, CLAUDE, provider="anthropic")])
    # 6 * 5 + 159217 * 6.25 + 2745 * 25; the input is the total: written tokens are in it
    of = event(
        make_event,
        model="claude-x",
        provider="anthropic",
        usage=Usage(159_223, 2_745, 0, None, 159_217),
    )
    assert price_event(prices, of) == Decimal("1.06376125")  # 1.063761 to the millionth


def test_a_claude_that_wrote_its_cache_for_an_hour() -> None:
    prices = PriceBook([Price("claude-x", DAWN, CLAUDE)])
    # 10 * 5 + 1000 * 10 + 100 * 25
    assert price_request(prices, "claude-x", Usage(1_010, 100, 0, None, 0, 1_000), NOW) == Decimal("0.01255")


@given(MODELS, USAGES, TIERS, UNITS)
def test_the_parts_sum_to_the_total_and_the_kinds_are_disjoint(
    model: tuple[str, str], usage: Usage, tier: str | None, units: dict[str, Decimal]
) -> None:
    provider, name = model
    found = explain(BOOK, name, usage, NOW, tier=tier, provider=provider, extra_units=units)
    assert found.usd == sum((part.usd for part in found.parts), Decimal(0))
    counted = {part.kind: part.count for part in found.parts}
    counts = counts_of(usage, units)
    inside = ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
    assert sum(counted.get(kind, 0) for kind in inside) == counts.input
    assert sum(counted.get(kind, 0) for kind in ("output", "audio_output", "image_output")) == counts.output
    assert min(counted.values(), default=0) >= 0


@given(MODELS, USAGES, TIERS, UNITS)
def test_the_table_of_rates_says_the_same_to_a_millionth_of_a_millionth(
    model: tuple[str, str], usage: Usage, tier: str | None, units: dict[str, Decimal]
) -> None:
    provider, name = model
    expected = explain(BOOK, name, usage, NOW, tier=tier, provider=provider, extra_units=units).usd
    others = (
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.image_input_tokens,
        usage.image_output_tokens,
    )
    for told in (others, None):
        if told is None and any(others):
            continue
        cost = RateTable(BOOK).cost(
            micros(NOW),
            name,
            tier,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_input_tokens,
            usage.reasoning_tokens,
            True,
            provider=provider,
            write=usage.cache_write_tokens,
            write_1h=usage.cache_write_1h_tokens,
            others=told,
            extra_units=units,
        )
        assert expected is not None
        assert cost == round(expected * PICO_PER_USD)


class TestUnitsAlone:
    """Requests that report no tokens, but something else that is billed."""

    @pytest.mark.parametrize(
        ("model", "units", "usd"),
        [
            ("tts-1", {"characters": Decimal(2_000)}, Decimal("0.03")),  # 15 dollars a million
            ("gpt-4o-mini-tts", {"characters": Decimal(2_000)}, "missing_usage"),  # it is billed by tokens
            ("gpt-5.5", {"audio_seconds": Decimal(3)}, "missing_usage"),
            ("gpt-5.5", {"web_search": Decimal(3)}, "missing_usage"),  # the tokens beside it are missing
            ("gpt-5.5", {"images": Decimal(1)}, "missing_usage"),
        ],
    )
    def test_they_cost_something_only_where_that_has_a_rate(
        self, make_event: Any, model: str, units: dict[str, Decimal], usd: Decimal | str
    ) -> None:
        assert price_event(BOOK, event(make_event, model=model, usage=Usage(), extra_units=units)) == usd
        row = RateTable(BOOK).cost(
            micros(NOW), model, None, None, None, None, None, True, provider="openai", extra_units=units
        )
        assert row == (UNPRICED if isinstance(usd, str) else usd * PICO_PER_USD)

    def test_sums_keep_them_apart_from_requests_with_tokens(self, make_event: Any, ledger: Engine) -> None:
        units = {"characters": Decimal(2_000)}
        events = [
            event(make_event, model="gpt-4o-mini-tts", usage=Usage(1_000, 0)),
            event(make_event, model="gpt-4o-mini-tts", usage=Usage(), extra_units=units),
            event(make_event, model="tts-1", usage=Usage(), extra_units=units),
        ]
        with ledger.begin() as connection:
            record(connection, events)
            found = account_sums(connection, NOW - timedelta(hours=1), NOW + timedelta(hours=1))
        assert price_sums(BOOK, found["default"]) == Spend(Decimal("0.03") + Decimal("0.0006"), 1)


class TestExplained:
    def test_a_price_says_where_it_comes_from(self) -> None:
        usage = Usage(300_000, 1_000, 100_000)
        found = explain(BOOK, "openai/gpt-reserve", usage, NOW, tier="default")
        assert found.price is not None
        assert (found.price.model, found.price.alias_of) == ("gpt-reserve", "gpt-5.6-luna")
        assert found.price.effective_from == datetime(2026, 7, 30, tzinfo=UTC)
        assert found.how == ("provider prefix stripped", "alias", "override")
        assert found.price.reason
        assert found.price.source
        assert found.price.as_of == "2026-11-28"
        assert found.context_above == 272_000
        assert [(part.kind, part.count, part.rate) for part in found.parts] == [
            ("input", 200_000, Decimal("0.4")),
            ("cached_input", 100_000, Decimal("0.04")),
            ("output", 1_000, Decimal("1.8")),
        ]
        assert found.usd == Decimal("0.0858")

    @pytest.mark.parametrize(
        ("model", "usage", "why"),
        [
            (None, Usage(1, 1), "missing_model"),
            ("gpt-5.9", Usage(1, 1), "unknown_pricing"),
            ("gpt-5.5", Usage(1), "missing_usage"),
        ],
    )
    def test_what_has_no_price_says_why(self, model: str | None, usage: Usage, why: str) -> None:
        found = explain(BOOK, model, usage, NOW)
        assert (found.usd, found.unpriced, found.parts) == (None, why, ())

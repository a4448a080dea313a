from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.errors import PriceError
from ledger.pricing.files import book, configured, load_seed
from ledger.pricing.names import fits
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates, flat
from ledger.pricing.records import plausible

NOW = datetime(2026, 9, 30, tzinfo=UTC)
CHANGE = datetime(2026, 8, 21, tzinfo=UTC)


def price(model: str, usd: str, since: datetime = DAWN) -> Price:
    return flat(model, since, Decimal(usd), Decimal(usd))


def found(prices: PriceBook, model: str, at: datetime = NOW) -> Decimal | None:
    entry = prices.find(model, at)
    return None if entry is None else entry.rates.input


class TestLookup:
    PRICES = PriceBook(
        [price("gpt-9", "1"), price("gpt-9-mini", "2"), price("gpt-*", "3"), price("gpt-9-m*", "4")]
    )

    @pytest.mark.parametrize(
        ("model", "usd"),
        [
            ("gpt-9", 1),
            ("gpt-9-mini", 2),
            ("GPT-9-Mini", 2),
            ("gpt-9-2026-03-05", 1),
            ("gpt-9-mini-20260305", 2),
            ("gpt-9-m-latest", 4),
            ("gpt-9-m-preview-2026-03-05", 4),
            ("gpt-9-max", None),  # what goes on where a pattern ends is a longer name
            ("gpt-9-m-max", None),  # another word is another model
            ("gpt-9-2026-3-5", None),  # no date as snapshots write it
            ("gpt-11", 3),
            ("claude-9", None),
            ("my-gpt-9", None),
            ("", None),
        ],
    )
    def test_exact_name_then_without_snapshot_then_longest_pattern(self, model: str, usd: int | None) -> None:
        assert found(self.PRICES, model) == usd

    def test_a_name_is_no_prefix(self) -> None:
        assert found(PriceBook([price("gpt-9", "1")]), "gpt-9.1") is None
        assert found(PriceBook([price("gpt-9", "1")]), "gpt-9-mini") is None

    def test_the_newest_price_already_in_force_holds(self) -> None:
        prices = PriceBook([price("m", "5"), price("m", "4", CHANGE), price("m", "3", NOW)])
        just_before = CHANGE - timedelta(microseconds=1)
        assert [found(prices, "m", at) for at in (just_before, CHANGE, NOW)] == [5, 4, 3]

    def test_before_its_first_price_a_model_has_none(self) -> None:
        prices = PriceBook([price("m", "4", CHANGE), price("m-*", "9")])
        assert found(prices, "m", CHANGE - timedelta(days=1)) is None

    def test_an_answer_is_the_same_when_asked_again(self) -> None:
        prices = PriceBook([price("m", "5"), price("m", "4", CHANGE)])
        asked = [found(prices, model, at) for model in ("m", "M", "x") for at in (DAWN, NOW) for _ in "12"]
        assert asked == [5, 5, 4, 4, 5, 5, 4, 4, None, None, None, None]

    def test_invented_names_do_not_fill_the_memory(self) -> None:
        prices = PriceBook([price("m", "5")])
        for number in range(10_100):
            assert found(prices, f"invented-{number}") is None
        assert len(prices._resolved) <= 10_000
        assert found(prices, "m") == 5


@dataclass(frozen=True)
class Given:
    prompt_per_1m: Decimal
    completion_per_1m: Decimal
    cached_prompt_per_1m: Decimal | None = None
    cache_write_per_1m: Decimal | None = None
    cache_write_1h_per_1m: Decimal | None = None
    provider: str | None = None


class TestProviders:
    PRICES = PriceBook(
        [
            flat("m-1", DAWN, Decimal(1), Decimal(1), provider="openai"),
            flat("m-1", DAWN, Decimal(2), Decimal(2), provider="groq"),
            flat("vendor/m-1", DAWN, Decimal(3), Decimal(3), provider="openrouter"),
            flat("grok-9", DAWN, Decimal(4), Decimal(4), provider="xai"),
        ]
    )

    @pytest.mark.parametrize(
        ("model", "provider", "usd"),
        [
            ("m-1", None, 1),  # not known: whoever makes models
            ("m-1", "", 1),
            ("m-1", "a-gateway-of-ones-own", 1),
            ("m-1", "openai", 1),
            ("m-1", "groq", 2),
            ("m-1", "Groq", 2),
            ("groq/m-1", None, 2),
            ("m-1", "azure", 1),  # sells them at their prices
            ("azure/m-1", None, 1),
            ("vendor/m-1", "openrouter", 3),
            ("m-1", "openrouter", None),  # the price of another provider is a neighbour's
            ("grok-9", "x-ai", 4),
            ("x-ai/grok-9", None, 4),
            ("models/m-1", None, 1),
            ("nobody/m-1", None, None),
            ("m-1", "ollama", None),  # one's own machine
        ],
    )
    def test_a_price_is_that_of_the_provider(self, model: str, provider: str | None, usd: int | None) -> None:
        entry = self.PRICES.find(model, NOW, provider)
        assert (None if entry is None else entry.rates.input) == usd

    def test_a_configured_price_without_a_provider_holds_for_all(self) -> None:
        prices = book(self.PRICES.prices, [configured("M-1", Given(Decimal(9), Decimal(9)))])
        for provider in (None, "openai", "groq", "ollama", "somebody"):
            entry = prices.find("m-1", NOW, provider)
            assert entry is not None
            assert entry.rates.input == 9

    def test_a_configured_price_with_a_provider_holds_for_that_alone(self) -> None:
        prices = book(self.PRICES.prices, [configured("m-1", Given(Decimal(9), Decimal(9), provider="groq"))])
        rates = [prices.find("m-1", NOW, provider) for provider in ("openai", "groq")]
        assert [entry and entry.rates.input for entry in rates] == [1, 9]


class TestHow:
    PRICES = PriceBook(
        [
            Price("gpt-9", DAWN, Card(Rates()), provider="openai", names=("gpt-9-codex", "gpt-nine-*")),
            Price("gpt-9", CHANGE, Card(Rates()), provider="openai", names=("gpt-9-codex",)),
            replace(flat("reserve", DAWN, Decimal(1), Decimal(1)), alias_of="gpt-9", origin="override"),
            flat("mine", DAWN, Decimal(1), Decimal(1), origin="config"),
        ]
    )

    @pytest.mark.parametrize(
        ("model", "how"),
        [
            ("gpt-9", ("exact",)),
            ("GPT-9", ("exact",)),
            ("gpt-9-codex", ("alias",)),
            ("gpt-9-2026-03-05", ("date stripped",)),
            ("gpt-9-codex-20260305", ("date stripped", "alias")),
            ("openai/gpt-9", ("provider prefix stripped",)),
            ("azure/gpt-9-2026-03-05", ("provider prefix stripped", "date stripped")),
            ("gpt-nine-latest", ("prefix",)),
            ("reserve", ("alias", "override")),
            ("mine", ("config",)),
        ],
    )
    def test_it_says_how_the_name_led_to_the_price(self, model: str, how: tuple[str, ...]) -> None:
        found = self.PRICES.look_up(model, NOW)
        assert found is not None
        assert found.how == how


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "name", "means"),
        [
            ("claude-opus-4-1*", "claude-opus-4-1-20250805", True),
            ("claude-opus-4-1*", "claude-opus-4-1@20250805", True),
            ("claude-opus-4-1*", "claude-opus-4-15", False),
            ("claude-opus-4-1*", "claude-opus-4-1-5", False),
            ("gemini-3.7-flash*", "gemini-3.7-flash-lite", False),
            ("gemini-3.7-flash*", "gemini-3.7-flash-001", True),
            ("*claude-opus-5", "us.anthropic.claude-opus-5", True),
            ("*claude-opus-5", "my-claude-opus-5", False),
            ("*claude-opus-5*", "arn:aws:bedrock:us.anthropic.claude-opus-5-20260901-v1:0", True),
            ("ft:gpt-4o-2024-*", "ft:gpt-4o-2024-08-06:acme::abc123", True),
            ("gpt-*", "gpt-" + "0" * 200 + "!", False),
        ],
    )
    def test_what_is_left_over_says_a_version_and_no_other_word(
        self, pattern: str, name: str, means: bool
    ) -> None:
        assert fits(pattern, name) is means


class TestConfigured:
    def test_it_beats_every_seeded_price_of_its_name(self) -> None:
        seed = [price("gpt-9", "1"), price("gpt-9", "2", CHANGE), price("gpt-8", "3")]
        prices = book(seed, [configured("GPT-9", Given(Decimal(7), Decimal(8)))])
        assert [found(prices, "gpt-9", at) for at in (DAWN, NOW)] == [7, 7]
        assert found(prices, "gpt-8") == 3

    def test_it_has_no_tiers_and_no_long_context(self) -> None:
        entry = configured("Gpt-9", Given(Decimal(7), Decimal(8), Decimal("0.5"), Decimal(9), Decimal(10)))
        rates = Rates(Decimal(7), Decimal(8), Decimal("0.5"), Decimal(9), Decimal(10))
        assert entry == Price("gpt-9", DAWN, Card(rates), origin="config")

    def test_a_name_given_twice_is_refused(self) -> None:
        one, two = (configured(name, Given(Decimal(1), Decimal(1))) for name in ("GPT-9", "gpt-9"))
        with pytest.raises(PriceError, match="'gpt-9' has two prices from 2000-01-01"):
            book([], [one, two])

    @pytest.mark.parametrize(
        ("given", "named"),
        [
            (Given(Decimal("0.0000025"), Decimal(10)), "prompt_per_1m"),
            (Given(Decimal("2.5"), Decimal(10), Decimal(20_000)), "cached_prompt_per_1m"),
            (Given(Decimal("2.5"), Decimal(10), None, Decimal("0.0001")), "cache_write_per_1m"),
            (Given(Decimal("2.5"), Decimal(-1)), "completion_per_1m"),
        ],
    )
    def test_a_rate_in_another_unit_is_refused(self, given: Given, named: str) -> None:
        with pytest.raises(PriceError, match=rf"^model 'm': {named} = .* is implausible; give US dollars"):
            configured("m", given)


class TestPlausible:
    @pytest.mark.parametrize("value", ["0", "0.001", "10000", 3, 0.25, Decimal("180")])
    def test_zero_and_all_between_the_bounds(self, value: object) -> None:
        assert plausible("m", "input", value) == Decimal(str(value))

    @pytest.mark.parametrize("value", ["0.0009", "10000.01", "-3", "inf", "nan"])
    def test_anything_else_is_implausible(self, value: str) -> None:
        with pytest.raises(PriceError, match=r"implausible; .* 0 or 0\.001 to 10000"):
            plausible("m", "input", value)

    @pytest.mark.parametrize("value", ["ten", "", True, [1]])
    def test_what_is_no_number_is_shown(self, value: object) -> None:
        with pytest.raises(PriceError, match=r"model 'm': input = .* is not a number"):
            plausible("m", "input", value)


class TestShippedPrices:
    PRICES = book(load_seed())

    @pytest.mark.parametrize("model", ["gpt-5.9", "gpt-5-turbo", "gpt-7", "gpt-4o-audio", "o9", "unknown"])
    def test_a_model_that_nobody_priced_stays_unpriced(self, model: str) -> None:
        assert self.PRICES.find(model, NOW) is None

    def test_the_price_of_august_changed_on_the_21st(self) -> None:
        before = self.PRICES.find("gpt-5.6-sol", CHANGE - timedelta(seconds=1))
        after = self.PRICES.find("gpt-5.6-sol", CHANGE)
        assert before is not None
        assert after is not None
        before_rates, after_rates = before.rates, after.rates
        assert before_rates == replace(before_rates, input=Decimal(5), output=Decimal(30))
        assert after_rates == replace(after_rates, input=Decimal(4), output=Decimal(20))

    @pytest.mark.parametrize(
        ("model", "at", "same_as"),
        [
            ("gpt-5.6", NOW, "gpt-5.6-sol"),
            ("gpt-5-codex", NOW, "gpt-5"),
            ("gpt-5.1-codex", NOW, "gpt-5.1"),
            ("gpt-5.1-codex-max", NOW, "gpt-5.1"),
            ("gpt-5.2-codex", NOW, "gpt-5.2"),
            ("codex-auto-review", datetime(2026, 7, 8, 23, 59, tzinfo=UTC), "gpt-5.5"),
            ("codex-auto-review", datetime(2026, 7, 9, tzinfo=UTC), "gpt-5.6-luna"),
            ("codex-auto-review", NOW, "gpt-5.6-luna"),
            ("gpt-reserve", NOW, "gpt-5.6-luna"),
            ("gpt-5.4-2026-03-05", NOW, "gpt-5.4"),
            ("openai/gpt-5.4", NOW, "gpt-5.4"),
            ("azure/gpt-5.4-2026-03-05", NOW, "gpt-5.4"),
        ],
    )
    def test_aliases_have_dated_meanings(self, model: str, at: datetime, same_as: str) -> None:
        one, other = self.PRICES.find(model, at), self.PRICES.find(same_as, at)
        assert one is not None
        assert other is not None
        assert (one.card, one.tiers) == (other.card, other.tiers)

    def test_a_price_knows_the_context_window(self) -> None:
        windows = {name: self.PRICES.find(name, NOW) for name in ("gpt-5.4", "gpt-reserve", "gpt-5.4-mini")}
        found = {name: price and price.context_window for name, price in windows.items()}
        assert found == {"gpt-5.4": 1_050_000, "gpt-reserve": 1_050_000, "gpt-5.4-mini": 400_000}

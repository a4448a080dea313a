"""What a request may cost, and what it did cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts.allowances import Charge, nano_usd
from ledger.pricing.ceilings import context_window
from ledger.pricing.cost import price_event
from ledger.pricing.files import configured, load_seed
from ledger.pricing.prices import PriceBook
from ledger.values import NO_USAGE, RequestEvent, Usage
from proxy.errors import Refused
from proxy.http.routes import Work
from proxy.relay.charge import (
    BACKGROUND_OUTPUT,
    BYTES_PASSED,
    DEFAULT_OUTPUT,
    HIDDEN_INPUT,
    UNKNOWN_REQUEST,
    Ask,
    charge,
    estimate,
    read_ask,
    with_price,
)
from settings.pricing import ModelPrice

NOW = datetime(2026, 11, 27, 15, tzinfo=UTC)
CONFIGURED = (
    configured(model, ModelPrice(prompt_per_1m=Decimal(prompt), completion_per_1m=Decimal(completion)))
    for model, prompt, completion in (("priced", 1, 10), ("free", 0, 0))
)
BOOK = PriceBook([*load_seed(), *CONFIGURED])
RESERVED = nano_usd(Decimal("0.5"))


@pytest.mark.parametrize(
    ("api", "body", "output", "hidden"),
    [
        ("messages", {"max_tokens": 100}, 100, False),
        ("chat_completions", {"max_completion_tokens": 100, "max_tokens": 7}, 100, False),
        ("responses", {"max_output_tokens": 100}, 100, False),
        ("responses", {"response": {"max_output_tokens": 100}}, 100, False),
        ("responses", {"max_tokens": 1}, None, False),  # not a limit there
        ("chat_completions", {"max_output_tokens": 1}, None, False),
        ("messages", {"max_completion_tokens": 1}, None, False),
        ("images", {"max_tokens": 1}, None, False),
        ("other", {"max_tokens": 1}, None, False),
        ("chat_completions", {"max_tokens": 100, "n": 3}, 300, False),
        ("chat_completions", {"max_tokens": 100.0, "n": 3.0}, 300, False),
        ("completions", {"max_tokens": 100, "best_of": 4, "n": 2}, 400, False),
        ("responses", {"max_output_tokens": 10**12}, 2_000_000, False),
        ("responses", {"max_output_tokens": 1e300}, None, False),
        ("chat_completions", {"max_tokens": 100, "n": 10**9}, 12_800, False),
        ("chat_completions", {"max_tokens": 100, "n": " 7 "}, 700, False),  # some servers take that
        ("chat_completions", {"max_tokens": 100, "n": "many"}, 100, False),
        ("chat_completions", {"max_tokens": 100, "n": -3}, 100, False),
        ("responses", {"max_output_tokens": 100, "previous_response_id": "resp_1"}, 100, True),
        ("responses", {"max_output_tokens": 100, "conversation": "c"}, 100, True),
        ("responses", {"max_output_tokens": 100, "prompt": {"id": "p"}}, 100, True),
        ("completions", {"max_tokens": 100, "prompt": "once upon"}, 100, False),
        ("responses", {"max_output_tokens": 100, "input": [{"file_id": "f"}]}, 100, True),
        ("responses", {"max_output_tokens": 100, "input": [{"image_url": "https://x"}]}, 100, True),
        ("responses", {"max_output_tokens": 100, "tools": [{"type": "web_search"}]}, 100, True),
        ("responses", {"max_output_tokens": 100, "tools": [{"type": "web_search_preview"}]}, 100, True),
        ("responses", {"max_output_tokens": 100, "tools": [{"type": "image_generation"}]}, 100, True),
        ("responses", {"max_output_tokens": 100, "input": [{"type": "item_reference"}]}, 100, True),
        ("messages", {"max_tokens": 100, "messages": [{"source": {"type": "url"}}]}, 100, True),
        ("messages", {"max_tokens": 100, "messages": [{"content": '\u00e9 < > & "'}]}, 100, False),
        ("messages", {"max_tokens": None}, None, False),
        ("messages", {"max_tokens": "100"}, None, False),
        ("messages", {"max_tokens": -1}, None, False),
        ("messages", {"max_tokens": True}, None, False),
        ("messages", {}, None, False),
    ],
)
def test_what_a_body_limits(api: str, body: dict[str, Any], output: int | None, hidden: bool) -> None:
    data = json.dumps({"model": "priced", **body}).encode()
    ask = read_ask(data, len(data), api)
    assert (ask.model, ask.input, ask.output, ask.hidden) == ("priced", len(data) // 3, output, hidden)


@pytest.mark.parametrize("name", ["file_id", "image_url", "item_reference", "container"])
def test_a_name_behind_escapes_is_not_hidden(name: str) -> None:
    for number, letter in enumerate(name):
        escaped = f"{name[:number]}\\u{ord(letter):04x}{name[number + 1 :]}"
        data = f'{{"model": "priced", "max_output_tokens": 1, "input": [{{"{escaped}": "x"}}]}}'.encode()
        assert read_ask(data, len(data), "responses").hidden


def test_the_tier_that_it_asks_for() -> None:
    data = json.dumps({"service_tier": "priority"}).encode()
    assert read_ask(data, 3, "responses") == Ask(None, 1, None, False, "priority")


@pytest.mark.parametrize("body", [None, b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 10_000])
def test_a_body_that_cannot_be_read_has_a_size_alone(body: bytes | None) -> None:
    assert read_ask(body, 3_000, "responses") == Ask(None, 1_000, None, True, unread=body is None)


@pytest.mark.parametrize(
    ("ask", "usual", "expected"),
    [
        (Ask("priced", 1_000, 100, False), None, Decimal("0.002")),
        (Ask("priced", 1_000, 100, False), 10**12, Decimal("0.002")),  # its own limits go first
        (Ask("priced", 1_000, 100, True), RESERVED, Decimal("0.5")),
        (Ask("priced", 1_000, None, False), RESERVED, Decimal("0.5")),
        (Ask("priced", 2_000_000, None, False), RESERVED, Decimal(2)),
        (Ask("priced", 0, None, False), None, Decimal(DEFAULT_OUTPUT) / 10**5),
        (Ask("unknown-model", 0, 100, False), None, Decimal(UNKNOWN_REQUEST) / 10**9),
        (Ask(None, 0, None), RESERVED, Decimal("0.5")),
        (Ask("free", 10**6, 10**6, False), None, Decimal(0)),
        (Ask("priced", 0, None, False, choices=3), None, 3 * Decimal(DEFAULT_OUTPUT) / 10**5),
        (Ask("priced", 0, None, False, choices=3), RESERVED, Decimal("1.5")),
        (Ask("gpt-5.4", 1_000, 1_000, False), None, Decimal("0.0175")),
        (Ask("gpt-5.4", 1_000, 1_000, False, "priority"), None, Decimal("0.035")),
        (Ask("gpt-5.4", 300_000, 1_000, False), None, Decimal("1.5225")),
    ],
)
def test_what_a_request_may_cost(ask: Ask, usual: int | None, expected: Decimal) -> None:
    assert estimate(BOOK, ask, usual, NOW) == nano_usd(expected)


@given(
    st.integers(0, 10**7),
    st.one_of(st.none(), st.integers(0, 10**7)),
    st.one_of(st.none(), st.integers(0, 10**12)),
)
def test_no_estimate_is_less_than_the_size_of_the_body(
    size: int, output: int | None, usual: int | None
) -> None:
    assert estimate(BOOK, Ask("priced", size, output, False), usual, NOW) >= size * 1_000


def is_priced(book: PriceBook, model: str, at: datetime, provider: str | None = None, *others: str) -> bool:
    try:
        found = with_price(book, Ask(model, 0, 0, False, provider=provider), at, others, "team")
    except Refused:
        return False
    return found.model == model and found.provider in (provider, *others)


def test_which_models_have_a_price() -> None:
    assert [is_priced(BOOK, name, NOW) for name in ("priced", "free", "other")] == [True, True, False]
    of_azure = ModelPrice(provider="azure", prompt_per_1m=Decimal(1), completion_per_1m=Decimal(2))
    book = PriceBook([*load_seed(), configured("mine", of_azure)])
    assert [is_priced(book, "mine", NOW, at) for at in ("azure", None, "openai")] == [True, False, False]
    assert is_priced(book, "mine", NOW, "openai", "bedrock", "azure"), "of an account's own provider"
    assert with_price(book, Ask("other", 0, 0, False), NOW, (), None).model == "other"
    assert estimate(book, Ask("mine", 0, 1_000, False, provider="azure"), None, NOW) == 2_000_000
    assert is_priced(BOOK, "gpt-4o", NOW, "no-such-provider"), "the maker's price is better than none"


ALL_WORK: tuple[Work, ...] = ("generates", "deferred", "free", "unknown", "reads")


@pytest.mark.parametrize("work", ALL_WORK)
def test_whatever_comes_back_with_counts_is_charged_by_them(
    make_event: Callable[..., RequestEvent], work: Work
) -> None:
    for changes in (
        {},
        {"status": "cancelled", "end_reason": "client_gone"},
        {"status": "error", "http_status": 500},
    ):
        event = make_event(model="priced", usage=Usage(1_000, 100), **changes)
        assert charge(BOOK, event, work, Ask(), RESERVED) == Charge(nano_usd(Decimal("0.002")), 0, 1)


def test_a_served_model_without_a_price_costs_as_the_requested_one(
    make_event: Callable[..., RequestEvent],
) -> None:
    event = make_event(model="priced-2027-exp", usage=Usage(1_000, 100))
    assert charge(BOOK, event, "generates", Ask("priced"), RESERVED) == Charge(2_000_000, 0, 1)
    assert charge(BOOK, event, "generates", Ask("unknown"), RESERVED) == BY_ESTIMATE


BY_ESTIMATE, NOTHING = Charge(RESERVED, RESERVED, 0), Charge()


@pytest.mark.parametrize(
    ("changes", "work", "model", "expected"),
    [
        ({}, "generates", None, BY_ESTIMATE),
        ({}, "unknown", "priced", BY_ESTIMATE),
        ({}, "unknown", None, NOTHING),
        ({}, "free", "priced", NOTHING),
        ({"end_reason": "eof"}, "generates", None, BY_ESTIMATE),
        ({"status": "cancelled", "end_reason": "client_gone"}, "generates", None, BY_ESTIMATE),
        ({"status": "cancelled", "end_reason": "client_gone", "http_status": 0},
         "generates", None, BY_ESTIMATE),
        ({"status": "error", "end_reason": "timeout", "http_status": 504}, "generates", None, BY_ESTIMATE),
        ({"status": "error", "end_reason": "shutdown"}, "generates", None, BY_ESTIMATE),
        ({"status": "error", "end_reason": "upstream_error"}, "generates", None, BY_ESTIMATE),
        ({"status": "error", "end_reason": "upstream_error", "http_status": 502}, "generates", None, NOTHING),
        ({"status": "error", "error_code": "server_error"}, "generates", None, NOTHING),
        ({"status": "error", "http_status": 429}, "generates", None, NOTHING),
        ({"status": "error", "http_status": 429, "end_reason": "refused"}, "generates", None, NOTHING),
    ],
)  # fmt: skip
def test_without_counts_it_is_what_was_reserved_where_the_provider_may_have_worked(
    make_event: Callable[..., RequestEvent],
    changes: dict[str, Any],
    work: Work,
    model: str | None,
    expected: Charge,
) -> None:
    event = make_event(model="priced", usage=NO_USAGE, **changes)
    assert charge(BOOK, event, work, Ask(model), RESERVED) == expected


@pytest.mark.parametrize(
    ("ask", "changes", "input_tokens", "output_tokens"),
    [
        (Ask("priced", 1_000, 100, False), {}, 0, 0),  # its own limits are in what was reserved
        (Ask("priced", 1_000, 100, True), {}, 1_000 + HIDDEN_INPUT, 100),
        (Ask("priced", 1_000, None, False), {}, 1_000, DEFAULT_OUTPUT),
        (Ask("priced", 1_000, None, False, choices=3), {}, 1_000, 3 * DEFAULT_OUTPUT),
        (Ask("priced", 1_000, None, False), {"background": True}, 1_000, BACKGROUND_OUTPUT),
        (Ask("priced", 1_000, None, False), {"passed_bytes": 20_000 * BYTES_PASSED}, 1_000, 20_000),
        (Ask("priced", 0, None, False), {"passed_bytes": 10**12}, 0, context_window("priced")),
        (Ask(None, 1_000, None, False), {}, 1_000, DEFAULT_OUTPUT),  # the answer names the model
        (Ask("free", 1_000, None), {}, 0, 0),
    ],
)
def test_who_leaves_before_the_counts_pays_what_its_answer_may_have_come_to(
    make_event: Callable[..., RequestEvent],
    ask: Ask,
    changes: dict[str, Any],
    input_tokens: int,
    output_tokens: int,
) -> None:
    event = make_event(
        model="priced", usage=NO_USAGE, status="cancelled", end_reason="client_gone", **changes
    )
    least = input_tokens * 1_000 + output_tokens * 10_000
    for reserved in (1, least + 1):  # what is usual may be as little as the caller likes
        expected = max(reserved, least)
        assert charge(BOOK, event, "generates", ask, reserved) == Charge(expected, expected, 0)


def test_no_background_answer_costs_more_than_is_charged_for_it(
    make_event: Callable[..., RequestEvent],
) -> None:
    """The longest answers of today's models have 128,000 tokens."""
    for model, most in (("gpt-5.5", 128_000), ("o3-deep-research", 100_000), ("gpt-4.1", 32_768)):
        answered = make_event(model=model, usage=NO_USAGE, background=True)
        charged = charge(BOOK, answered, "generates", Ask(model, 1_000, None, False), 1)
        cost = price_event(BOOK, make_event(model=model, usage=Usage(1_000, most)))
        assert isinstance(cost, Decimal), model
        assert nano_usd(cost) <= charged.nano, model


def test_what_cannot_be_priced_is_charged_as_an_unknown_request(
    make_event: Callable[..., RequestEvent],
) -> None:
    event = make_event(model=None, usage=NO_USAGE, status="cancelled", end_reason="client_gone")
    assert charge(BOOK, event, "generates", Ask(), 1).nano == UNKNOWN_REQUEST
    assert charge(BOOK, event, "free", Ask(), 0) == Charge()

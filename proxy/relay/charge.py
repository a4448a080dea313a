"""What a request may cost, before it is sent, and what it did cost, once it is over. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from math import ceil
from typing import Any, TypeGuard

import msgspec
from msgspec import structs

from ledger.accounts.allowances import NANO_PER_USD, Charge, nano_usd
from ledger.pricing.ceilings import context_window
from ledger.pricing.cost import price_event
from ledger.pricing.prices import PriceBook
from ledger.pricing.steps import context_step
from ledger.values import NO_USAGE, RequestEvent
from proxy.errors import Refused
from proxy.http.routes import Work
from proxy.metering.members import brief
from proxy.metering.usage import UNREADABLE

BYTES_PER_TOKEN = 3
"""Of a request's body, JSON and all; a token of English is about four long, of many languages less."""

DEFAULT_OUTPUT = 8_192
"""Tokens of an answer whose request sets no limit, before anything is known of its key."""

UNKNOWN_REQUEST = nano_usd(Decimal("0.10"))
"""The same for a request that does not say for which model it is."""

UNREAD_TOKEN = 10_000
"""10^-9 US dollars for each token that a body may have which is too large to be read."""

HIDDEN_INPUT = 32_768
"""Tokens that are charged for input which the provider keeps or fetches, where no counts come."""

BACKGROUND_OUTPUT = 131_072
"""Tokens of an answer without a limit that nobody waits for: as many as the longest has. It is never charged
by its counts, which come with a later request."""

BYTES_PASSED = 48
"""Of an answer that was cut, for a token: an event of a stream holds one, or a few dozen of them."""

MAX_CHOICES = 128
"""Answers that one request may ask for."""


class _Body(msgspec.Struct):
    model: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    service_tier: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    response: Any = None


_LIMITS = {
    "responses": ("max_output_tokens",),
    "chat_completions": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "messages": ("max_tokens",),
}
"""The members by which each API limits its answers; another one's limit is none."""

_ELSEWHERE = re.compile(
    rb'"file_id"|_url"|"type"\s*:\s*"url"|_search|item_reference|image_generation|"mcp"|"code_interpreter"'
    rb'|"container"|\\u00(?:3[0-9]|[46][1-9a-fA-F]|[57][0-9aAfF])'
)
"""What stands in a body whose input is fetched by the provider, or grows with its tools; letters that are
escaped, too: that hides such names and has no other use."""

_bodies = msgspec.json.Decoder(_Body)


class Ask(msgspec.Struct, frozen=True):
    """What a request's body says about what it may cost.

    Attributes:
        input: tokens, by the body's size.
        output: tokens, at most, of all answers together; None where it sets no limit.
        hidden: part of its input is kept or fetched by the provider, so its size is not known.
        tier: the service tier that it asks for.
        choices: answers that it asks for.
        provider: whose host it goes to, where that is known.
        unread: the body passed on its way, so its model is not known.
    """

    model: str | None = None
    input: int = 0
    output: int | None = None
    hidden: bool = True
    tier: str | None = None
    choices: int = 1
    provider: str | None = None
    unread: bool = False


def read_ask(body: bytes | None, size: int, api: str, provider: str | None = None) -> Ask:
    """What a request asks for.

    Args:
        body: decoded; None where it is not at hand.
        api: whose limits are its own.
        size: its bytes, as far as they are known.
        provider: whose host it goes to.
    """
    try:
        found = _bodies.decode(brief(body or b""))
    except UNREADABLE:
        tokens = min(size // BYTES_PER_TOKEN, context_window(None))
        return Ask(input=tokens, provider=provider, unread=body is None)
    model = found.model if isinstance(found.model, str) and found.model else None
    window = context_window(model)
    limits = [getattr(found, name) for name in _LIMITS.get(api, ())]
    if api == "responses" and isinstance(found.response, dict):  # a turn of the Realtime API
        limits.append(found.response.get("max_output_tokens"))
    given = [int(limit) for limit in limits if _is_number(limit)]
    counts = (found.n, found.best_of)
    choices = max(map(_choices, counts))
    return Ask(
        model=model,
        input=min(size // BYTES_PER_TOKEN, window),
        output=min(max(given), window) * choices if given else None,
        hidden=_is_hidden(found, body or b""),
        tier=found.service_tier if isinstance(found.service_tier, str) else None,
        choices=choices,
        provider=provider,
    )


def _choices(value: object) -> int:
    """Some servers take a number in quotation marks, and more of them than OpenAI's."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    return ceil(min(value, MAX_CHOICES)) if _is_number(value) else 1


def _is_number(value: object) -> TypeGuard[int | float]:
    return type(value) in (int, float) and 0 < value < 2**53  # type: ignore[operator]


def _is_hidden(found: _Body, body: bytes) -> bool:
    kept = found.previous_response_id or found.conversation or isinstance(found.prompt, dict)
    return bool(kept) or _ELSEWHERE.search(body) is not None


def estimate(book: PriceBook, ask: Ask, usual: int | None, at: datetime) -> int:
    """What a request costs at most, by its own limits; where it has none, what it is likely to cost.

    Args:
        usual: what a request of this key costs; None where that is not known.
    Returns: 10^-9 US dollars.
    """
    output = (
        ask.output if ask.output is not None else 0 if usual is not None else DEFAULT_OUTPUT * ask.choices
    )
    what = (ask.provider, ask.tier, context_step(ask.input), at.date())
    rates = _rates(book, ask.model, *what) if ask.model else None
    if rates is None:
        return max(_unknown(ask) if usual is None or ask.unread else 0, (usual or 0) * ask.choices)
    own = ceil((ask.input * rates[0] + output * rates[1]) / 1_000_000)
    return own if ask.output is not None and not ask.hidden else max(own, (usual or 0) * ask.choices)


def with_price(book: PriceBook, ask: Ask, at: datetime, elsewhere: Iterable[str], key: str | None) -> Ask:
    """The same of the first provider with a price for its model.

    Args:
        elsewhere: other providers that may get it: an account may have its own.
        key: a proxy key that may only use models with a price.
    Raises: Refused.
    """
    if ask.model is None:
        return ask
    for provider in (ask.provider, *elsewhere):
        if _rates(book, ask.model, provider, None, 0, at.date()) is not None:
            return ask if provider == ask.provider else structs.replace(ask, provider=provider)
    if key is None:
        return ask
    text = (
        f"the price of model {ask.model[:100]!r} is unknown, and the proxy key {key!r} has a budget; "
        "set the price in [pricing.models]"
    )
    raise Refused(403, "model_without_price", text)


@lru_cache(maxsize=1024)
def _rates(
    book: PriceBook, model: str, provider: str | None, tier: str | None, step: int, day: date
) -> tuple[Decimal, Decimal] | None:
    """What a million tokens of input and of output cost, in 10^-9 US dollars; None where it is not known.
    Where a provider has no price for a model its maker's is taken: better than none."""
    at = datetime.combine(day, time(), UTC)
    price = book.find(model, at, provider) or book.find(model, at)
    if price is None:
        return None
    rates = price.rates_for(tier, step)
    return rates.input * NANO_PER_USD, rates.output * NANO_PER_USD


def charge(book: PriceBook, event: RequestEvent, work: Work, ask: Ask, reserved: int) -> Charge:
    """What a request, or an attempt at one, cost. Without counts it is what was reserved for it, or what it
    may have come to, if the provider may have worked on it. That teaches nobody what is usual: else a caller
    who always leaves before the counts would make its requests as cheap as it likes.

    Args:
        reserved: 10^-9 US dollars.
    """
    cost = price_event(book, event)
    if not isinstance(cost, Decimal) and event.model != ask.model:
        cost = price_event(book, structs.replace(event, model=ask.model))
    if isinstance(cost, Decimal):
        return Charge(nano_usd(cost), 0, 1)
    if _is_billed(event, work, ask):
        nano = max(reserved, _uncounted(book, event, work, ask))
        return Charge(nano, nano, 0)
    return Charge()


def _uncounted(book: PriceBook, event: RequestEvent, work: Work, ask: Ask) -> int:
    """What a request without counts may have come to beyond its own limits."""
    if (ask.output is not None and not ask.hidden) or (work != "generates" and ask.model is None):
        return 0
    model = ask.model or event.model
    tokens = ask.input + (HIDDEN_INPUT if ask.hidden else 0)
    what = (event.provider or ask.provider, ask.tier, context_step(tokens), event.requested_at.date())
    rates = _rates(book, model, *what) if model else None
    if rates is None:
        return _unknown(ask)
    usual = min(BACKGROUND_OUTPUT, context_window(model)) if event.background else DEFAULT_OUTPUT
    passed = min(event.passed_bytes // BYTES_PASSED, context_window(model))
    output = ask.output if ask.output is not None else max(usual * ask.choices, passed)
    return ceil((tokens * rates[0] + output * rates[1]) / 1_000_000)


def _unknown(ask: Ask) -> int:
    """What a request to who knows which model may cost."""
    return max(UNKNOWN_REQUEST, ask.input * UNREAD_TOKEN if ask.unread else 0)


def _is_billed(event: RequestEvent, work: Work, ask: Ask) -> bool:
    """Whether the provider bills what it has not counted, as far as can be told."""
    if event.usage is not NO_USAGE:
        return True
    if event.error_code == "upstream_unreachable":
        return False
    if event.end_reason in ("client_gone", "timeout", "shutdown"):
        return True  # it may have gone on without us
    if event.end_reason == "refused" or event.http_status >= 400:
        return False
    if event.status == "error" and event.end_reason != "upstream_error":
        return False  # the answer says by itself that it failed
    return work == "generates" or (work == "unknown" and ask.model is not None)

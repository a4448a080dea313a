"""Limits that say nothing of the account: of one request's size, and of one model alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.requests.error_codes import CODES
from proxy.routing.error_text import is_too_large, named_model
from proxy.routing.failure import Failure, classify
from proxy.routing.model_rests import MAX_MODELS, ModelRests
from proxy.routing.router import retry_after

if TYPE_CHECKING:
    from tests.proxy.routing.conftest import Stand

NOW = 1_800_000_000.0
TOO_LARGE = (
    "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested "
    "50000. The input or output tokens must be reduced in order to run successfully."
)
REACHED = (
    "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, "
    "Requested 2000. Please try again in 20s."
)

OWN_FAULT = [
    (429, "rate_limit_exceeded", TOO_LARGE),
    (429, None, TOO_LARGE),
    (429, "tokens", TOO_LARGE),
    (200, "rate_limit_exceeded", TOO_LARGE),  # in the midst of a stream
    (
        413,
        "rate_limit_exceeded",
        "Request too large for model `llama-3.3-70b` in organization `org_1` service tier `on_demand` on "
        "tokens per minute (TPM): Limit 6000, Requested 8123, please reduce your message size and try again.",
    ),
    (429, "rate_limit_exceeded", "on tokens per min: Limit: 30,000, Requested: 30,001."),
    (429, "rate_limit_exceeded", "Limit 30000, Used 12, Requested 40000. Please try again in 20s."),
    (429, "rate_limit_error", "Extra usage is required for long context requests."),
    (402, None, "You requested up to 64000 tokens, but can only afford 1204."),
]
SHARED_LIMIT = [
    (429, "rate_limit_exceeded", REACHED),
    (
        429,
        "rate_limit_exceeded",
        "Rate limit reached. Limit 3, Used 3, Requested 1. Please try again in 20s.",
    ),
    (429, "rate_limit_exceeded", None),
    (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 30,000 input tokens",
    ),
    (429, "slow_down", "Please reduce your request rate."),
    (402, None, "You requested up to 64000 tokens, but can only afford 0."),
    (429, "insufficient_quota", "You exceeded your current quota, please check your plan."),
]


@pytest.mark.parametrize(("status", "code", "message"), OWN_FAULT)
def test_a_request_beyond_any_limit_marks_nothing_and_may_be_tried_elsewhere(
    status: int, code: str | None, message: str
) -> None:
    verdict = classify(Failure(status, code, message), NOW)
    assert verdict is not None
    assert not verdict.marks


@pytest.mark.parametrize(("status", "code", "message"), SHARED_LIMIT)
def test_a_limit_that_others_have_used_up_marks_the_account(
    status: int, code: str | None, message: str | None
) -> None:
    verdict = classify(Failure(status, code, message), NOW)
    assert verdict is not None
    assert verdict.marks


@given(limit=st.integers(1, 10**9), used=st.none() | st.integers(0, 10**9), asked=st.integers(1, 10**9))
def test_only_a_request_that_is_more_than_the_limit_is_at_fault(
    limit: int, used: int | None, asked: int
) -> None:
    taken = "" if used is None else f"Used {used}, "
    text = f"Rate limit reached for m: Limit {limit:,}, {taken}Requested {asked:,}."
    assert is_too_large(text) is (asked > limit)


@given(st.text(max_size=300) | st.text("limit requested0123456789,.: ", max_size=6_000))
def test_no_text_breaks_it(text: str) -> None:
    is_too_large(text)
    named_model(text, "gpt-4o")


@pytest.mark.parametrize(
    ("message", "model", "named"),
    [
        (REACHED, "gpt-4o", True),
        (REACHED, "gpt-4o-2024-08-06", True),
        (REACHED, "GPT-4o", True),
        (REACHED, "gpt-4o-mini", True),  # OpenAI shares limits within families; what was asked for rests
        (REACHED, "gpt-4", False),
        (REACHED, "o3", False),
        (REACHED, None, False),
        ("Rate limit reached for model `llama-3.3-70b` in organization `o`", "llama-3.3-70b", True),
        ("Rate limit reached for model `llama-3.3-70b`", "groq/llama-3.3-70b", True),
        ("would exceed the limit of 5 tokens (org: 7, model: claude-sonnet-4-5)", "claude-sonnet-4-5", True),
        ("Quota exceeded for metric: x, limit: 0, model: gemini-2.0-flash.", "gemini-2.0-flash", True),
        ("Rate limit reached for requests", "gpt-4o", False),
        ("Too many requests", "gpt-4o", False),
        (None, "gpt-4o", False),
    ],
)
def test_whether_a_limit_is_the_model_s(message: str | None, model: str | None, named: bool) -> None:
    assert named_model(message, model) == (model if named else None)


def test_every_code_of_the_table_has_a_verdict_by_its_effect() -> None:
    for code, known in CODES.items():
        verdict = classify(Failure(200, code), NOW)
        event = None if verdict is None else verdict.event
        assert (
            event
            == {
                "rests": "rate_limit",
                "spent": "quota_exceeded",
                "reauth_required": "permanent_failure",
                "deactivated": "permanent_failure",
                "none": None,
                "unclear": "error",
            }[known.effect]
        ), code


class TestRouter:
    async def test_one_caller_s_large_request_rests_no_account(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        for _ in range(6):
            for name in ("anna", "ben"):
                verdict = stand.router.failed(name, Failure(429, "rate_limit_exceeded", TOO_LARGE), stand.now)
                assert verdict is not None
        assert set(await stand.chosen()) == {"anna", "ben"}
        assert stand.marks == []

    async def test_a_limit_of_a_model_rests_the_account_for_that_model_alone(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        limited = Failure(429, "rate_limit_exceeded", REACHED, model="gpt-4o")
        stand.router.failed("anna", limited, stand.now)
        assert await picked(stand, "gpt-4o") == {"ben"}
        assert await picked(stand, "o3") == {"anna", "ben"}
        assert await picked(stand, None) == {"anna", "ben"}
        stand.now += 20
        assert await picked(stand, "gpt-4o") == {"anna", "ben"}

    async def test_where_all_rest_for_a_model_it_is_told_when_the_first_comes_back(
        self, stand: Stand
    ) -> None:
        stand.load("anna", "ben")
        for name, seconds in (("anna", 30), ("ben", 20)):
            text = f"Rate limit reached for gpt-4o. Please try again in {seconds}s."
            stand.router.failed(name, Failure(429, "rate_limit_exceeded", text, model="gpt-4o"), stand.now)
        refused = await stand.router.choose(model="gpt-4o")
        assert (refused.account, refused.outcome, retry_after(refused, stand.now)) == (
            None,
            "rate_limited",
            20,
        )
        assert (await stand.router.choose(model="o3")).account is not None

    async def test_a_conversation_moves_where_its_account_rests_for_its_model(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        first = (await stand.router.choose("talk", model="gpt-4o")).account
        assert first is not None
        limited = Failure(429, "rate_limit_exceeded", REACHED, model="gpt-4o")
        stand.router.failed(first, limited, stand.now)
        second = (await stand.router.choose("talk", model="gpt-4o")).account
        assert {first, second} == {"anna", "ben"}

    async def test_without_a_hint_it_rests_longer_each_time_until_it_answers_well(self, stand: Stand) -> None:
        stand.load("anna")
        limited = Failure(429, "rate_limit_exceeded", "Rate limit reached for gpt-4o.", model="gpt-4o")
        for least, most in ((0.15, 0.25), (0.3, 0.5), (0.7, 0.9)):
            stand.router.failed("anna", limited, stand.now)
            refused = await stand.router.choose(model="gpt-4o")
            assert refused.retry_at is not None
            assert least <= refused.retry_at - stand.now <= most
            stand.now = refused.retry_at + 0.01
        stand.router.succeeded("anna", stand.now, "gpt-4o")
        stand.router.failed("anna", limited, stand.now)
        refused = await stand.router.choose(model="gpt-4o")
        assert refused.retry_at is not None
        assert refused.retry_at - stand.now < 0.25

    async def test_a_resumed_account_rests_for_no_model(self, stand: Stand) -> None:
        stand.load("anna")
        limited = Failure(429, "rate_limit_exceeded", REACHED, model="gpt-4o")
        stand.router.failed("anna", limited, stand.now)
        stand.load(stand.member("anna", resumed_at=datetime.fromtimestamp(stand.now, UTC)))
        assert await picked(stand, "gpt-4o") == {"anna"}


async def picked(stand: Stand, model: str | None) -> set[str | None]:
    return {(await stand.router.choose(model=model)).account for _ in range(50)}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=3), st.floats(0, 1e5)), max_size=400))
def test_what_is_kept_of_an_account_is_bounded(limits: Sequence[tuple[str, str, float]]) -> None:
    rests = ModelRests()
    for number, (account, model, wait) in enumerate(limits):
        rests.limited(account, model, wait, number, number, 0.5)
    for account in "ab":
        models = {model for _, model, _ in limits}
        assert sum(account in rests.resting(model, 0) for model in models) <= MAX_MODELS


def test_many_models_of_one_account_are_forgotten_the_next_to_end_first() -> None:
    rests = ModelRests()
    for number in range(MAX_MODELS + 1):
        rests.limited("anna", f"m{number}", 100 + number, NOW, NOW, 0.5)
    assert [rests.resting(f"m{n}", NOW) for n in (0, 1, MAX_MODELS)] == [
        {},
        {"anna": NOW + 101},
        {"anna": NOW + 100 + MAX_MODELS},
    ]

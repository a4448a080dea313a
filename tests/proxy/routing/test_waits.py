"""What a provider said and what is our own caution are two things: each ends at its own time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.candidate import Candidate, standing
from proxy.routing.failure import Verdict
from proxy.routing.health import failed

if TYPE_CHECKING:
    from tests.proxy.routing.conftest import Stand

from proxy.routing.failure import Failure

NOW = 1_800_000_000.0
BROKEN = Failure(500, "server_error")


@pytest.mark.parametrize(
    "word",
    [Failure(429, None, headers={"retry-after": "1"}), Failure(503, None, headers={"retry-after": "1"})],
)
async def test_a_short_wait_after_errors_ends_at_its_own_time(stand: Stand, word: Failure) -> None:
    """Six errors rest the account for minutes by our own caution; one second of the provider's is no more."""
    stand.load("anna")
    for _ in range(6):
        stand.now += 0.001
        stand.router.failed("anna", BROKEN, stand.now)
    stand.now += 0.001
    stand.router.failed("anna", word, stand.now)
    assert await stand.chosen() == {None: 200}
    stand.now += 1
    assert await stand.chosen() == {"anna": 200}


async def test_an_error_during_a_wait_neither_shortens_nor_lengthens_it(stand: Stand) -> None:
    stand.load("anna")
    stand.router.failed("anna", Failure(429, None, headers={"retry-after": "9"}), stand.now)
    for _ in range(6):
        stand.now += 0.001
        stand.router.failed("anna", BROKEN, stand.now)
    stand.now += 8.9
    assert await stand.chosen() == {None: 200}
    stand.now += 0.1
    assert await stand.chosen() == {"anna": 200}


@pytest.mark.parametrize(
    "word",
    [Failure(429, None, headers={"retry-after": "20"}), Failure(429, "usage_limit_reached")],
    ids=["a rate limit", "a spent quota without its reset"],
)
async def test_what_was_under_way_does_not_shorten_the_wait_for_a_spent_quota(
    stand: Stand, word: Failure
) -> None:
    """It was sent before the quota was known to be spent, and knows less."""
    stand.load("anna")
    sent, reset = stand.now, int(stand.now) + 86_400
    stand.now += 1
    stand.router.failed("anna", Failure(429, "usage_limit_reached", resets_at=reset), sent)
    stand.now += 1
    stand.router.failed("anna", word, sent)
    stand.now = reset - 1.0
    assert await stand.chosen() == {None: 200}
    stand.now = reset + 1.0
    assert await stand.chosen() == {"anna": 200}


async def test_other_processes_are_told_both(stand: Stand) -> None:
    stand.load("anna")
    for _ in range(3):
        stand.now += 0.001
        stand.router.failed("anna", BROKEN, stand.now)
    stand.router.failed("anna", Failure(429, None, headers={"retry-after": "5"}), stand.now + 0.001)
    mark = stand.marks[-1]
    assert mark.wait_until == pytest.approx(stand.now + 5)
    assert mark.cooldown_until == pytest.approx(stand.now + 30)


verdicts = st.builds(
    Verdict,
    st.sampled_from(["error", "rate_limit"]),
    st.just("code"),
    retry_after=st.none() | st.floats(0.1, 9.9),
)


@given(st.lists(st.tuples(st.floats(0.001, 20), verdicts), min_size=1, max_size=12))
def test_nobody_is_refused_for_longer_than_somebody_asked_for(said: list[tuple[float, Verdict]]) -> None:
    """Whatever happened before: when the latest wait that was asked for is over, there is only caution."""
    account, now, asked = Candidate("anna"), NOW, NOW
    for pause, verdict in said:
        now += pause
        account = failed(account, verdict, now, now, 0.5, 3_600.0)
        if verdict.retry_after is not None:
            asked = max(asked, now + verdict.retry_after)
        elif verdict.event == "rate_limit":
            asked = account.wait_until
    against = standing(account, max(now, asked))
    assert against is None or against.soft or account.status == "rate_limited"
    if asked > now + 0.001:
        before = standing(account, asked - 0.001)
        assert before is not None
        assert not before.soft

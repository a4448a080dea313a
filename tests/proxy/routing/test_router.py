"""The router: what it notices holds at once, and what people and other processes decide is not undone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.quota.samples import Told
from ledger.values import UsageSample
from proxy.routing.failure import Failure
from proxy.routing.router import retry_after

if TYPE_CHECKING:
    from tests.proxy.routing.conftest import Stand

LIMITED = Failure(429, "rate_limit_exceeded", "Please try again in 20 s.")
BROKEN = Failure(502, "upstream_unreachable")
SPENT = Failure(429, "usage_limit_reached")
DEAD = Failure(401, "invalid_api_key")


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


class TestMarks:
    async def test_a_rate_limit_rests_for_as_long_as_was_said(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        verdict = stand.router.failed("anna", LIMITED, stand.now)
        assert verdict is not None
        assert verdict.event == "rate_limit"
        stand.now += 19.9
        assert await stand.chosen() == {"ben": 200}
        stand.now += 0.1
        assert set(await stand.chosen()) == {"anna", "ben"}

    async def test_a_spent_quota_rests_until_its_reset(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", Failure(429, "usage_limit_reached", resets_at=int(stand.now) + 5_000), 0)
        selection = await stand.router.choose()
        assert (selection.account, selection.outcome) == (None, "quota_exceeded")
        assert retry_after(selection, stand.now) == 5_000
        stand.now += 5_000
        assert await stand.chosen() == {"anna": 200}

    async def test_a_spent_quota_of_unknown_reset_rests_an_hour(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", SPENT, stand.now)
        stand.now += 3_599
        assert await stand.chosen() == {None: 200}
        stand.now += 1
        assert await stand.chosen() == {"anna": 200}

    async def test_errors_rest_longer_and_longer_until_one_succeeds(self, stand: Stand) -> None:
        stand.load("anna")
        for least, most in ((0.15, 0.25), (0.3, 0.5), (30, 30), (60, 60)):
            stand.router.failed("anna", BROKEN, stand.now)
            assert least <= stand.router.snapshot().fresh_until - stand.now <= most
            stand.now = stand.router.snapshot().fresh_until
        stand.router.succeeded("anna", stand.now)
        stand.router.failed("anna", BROKEN, stand.now)
        assert stand.router.snapshot().fresh_until - stand.now < 0.25

    async def test_what_failed_together_failed_once(self, stand: Stand) -> None:
        """Twenty requests that a passing trouble hits at once are not twenty failures in a row."""
        stand.load("anna", "ben")
        sent = stand.now
        for _ in range(20):
            stand.now += 0.01
            stand.router.failed("anna", BROKEN, sent)
        assert stand.router.snapshot().fresh_until - stand.now < 0.25
        sent = stand.now = stand.now + 1
        stand.router.failed("anna", BROKEN, sent)
        stand.router.failed("anna", BROKEN, sent)
        assert [mark.errors for mark in stand.marks] == [1] * 20 + [2, 2]

    async def test_a_success_that_was_under_way_proves_nothing(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        sent, stand.now = stand.now, stand.now + 1
        stand.router.failed("anna", BROKEN, sent)
        stand.router.succeeded("anna", sent)
        stand.now += 1
        stand.router.failed("anna", BROKEN, stand.now)
        stand.now += 1
        stand.router.succeeded("anna", stand.now)
        assert [mark.errors for mark in stand.marks] == [1, 2, 0]

    async def test_the_only_account_is_asked_though_it_rests_after_an_error(self, stand: Stand) -> None:
        stand.load("anna")
        for _ in range(4):
            stand.router.failed("anna", BROKEN, stand.now)
            assert await stand.chosen() == {"anna": 200}
            stand.now += 1
        stand.router.failed("anna", Failure(503, None, headers={"retry-after": "9"}), stand.now)
        stand.router.failed("anna", BROKEN, stand.now + 1)
        assert await stand.chosen() == {None: 200}, "it has asked for it"

    async def test_credentials_are_kept_to_the_host_that_knows_them(self, stand: Stand) -> None:
        members = [stand.member(name) for name in ("key", "login", "unread")]
        own = stand.member("own", upstream_base_url="http://127.0.0.1:9")
        stand.load(*members, own, usable={"key": "key", "login": "login", "own": "login"})
        assert set(await stand.chosen(host="api")) == {"key", "own"}
        assert set(await stand.chosen(host="backend")) == {"login", "own"}
        stand.load(*members, usable={"key": "key"})
        assert set(await stand.chosen(host="api")) == {"key"}
        assert not stand.router.serves("backend")
        stand.load(*members, usable={})
        assert stand.router.serves("api")
        assert (await stand.router.choose()).outcome == "auth", "that of all is missing here"

    async def test_a_dead_credential_does_not_come_back_by_itself(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", DEAD, stand.now)
        stand.now += 10**7
        selection = await stand.router.choose()
        assert (selection.outcome, retry_after(selection, stand.now)) == ("auth", None)

    async def test_a_wrong_request_leaves_no_mark(self, stand: Stand) -> None:
        stand.load("anna")
        assert stand.router.failed("anna", Failure(400, "invalid_request_error"), stand.now) is None
        assert stand.marks == []
        assert await stand.chosen() == {"anna": 200}

    async def test_a_token_that_is_too_old_leaves_no_mark(self, stand: Stand) -> None:
        stand.load("anna")
        verdict = stand.router.failed("anna", Failure(401, can_refresh=True), stand.now)
        assert verdict is not None
        assert verdict.refresh
        assert stand.marks == []

    async def test_the_ledger_is_told(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", LIMITED, stand.now - 3)
        (mark,) = stand.marks
        assert (mark.account_id, mark.event, mark.status, mark.errors) == (
            "anna",
            "rate_limit",
            "rate_limited",
            1,
        )
        assert (mark.began_at, mark.at) == (moment(stand.now - 3), moment(stand.now))
        assert mark.wait_until == stand.now + 20

    async def test_a_success_without_errors_before_it_is_no_news(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.succeeded("anna", stand.now)
        assert stand.marks == []

    async def test_an_account_that_is_gone_is_no_trouble(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("gone", LIMITED, stand.now)
        stand.router.succeeded("gone", stand.now)
        assert stand.marks == []


class TestLedger:
    async def test_what_was_noticed_outlives_a_ledger_that_does_not_know_it_yet(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        stand.router.failed("anna", SPENT, stand.now)
        stand.load("anna", "ben", version=2)
        assert await stand.chosen() == {"ben": 200}

    async def test_a_person_resumes_what_was_noticed(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", SPENT, stand.now)
        ahead = UsageSample("anna", moment(stand.now), "secondary", 100.0, int(stand.now) + 9_999)
        stand.router.learn([ahead])
        resumed = moment(stand.now - 3_600)  # by a clock that has been set right since
        stand.load(stand.member("anna", resumed_at=resumed, marked_at=resumed), version=2)
        assert await stand.chosen() == {"anna": 200}

    async def test_a_person_pauses_whatever_is_noticed(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", LIMITED, stand.now)
        stand.load(stand.member("anna", "paused", marked_at=moment(stand.now - 5)), version=2)
        assert (await stand.router.choose()).outcome == "paused"

    async def test_the_old_credential_is_not_held_against_the_new_one(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.failed("anna", DEAD, stand.now - 2)  # sent before the credential was renewed
        renewed = stand.member("anna", resumed_at=moment(stand.now - 1), marked_at=moment(stand.now - 1))
        stand.load(renewed, version=2)
        assert await stand.chosen() == {"anna": 200}
        stand.router.failed("anna", DEAD, stand.now - 2)
        assert await stand.chosen() == {"anna": 200}
        stand.router.failed("anna", DEAD, stand.now)
        assert await stand.chosen() == {None: 200}

    async def test_what_another_process_noticed_holds_here(self, stand: Stand) -> None:
        limited = stand.member(
            "anna", cooldown_until=stand.now + 9, errors=2, marked_at=moment(stand.now), event="rate_limit"
        )
        stand.load(limited, "ben")
        assert await stand.chosen() == {"ben": 200}
        stand.now += 9
        stand.router.failed("anna", BROKEN, stand.now)
        assert stand.marks[-1].errors == 3

    async def test_an_account_that_was_removed_is_not_chosen(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        stand.load("ben", version=2)
        assert await stand.chosen() == {"ben": 200}
        assert set(stand.router.members) == {"ben"}
        assert stand.router.version == 2

    async def test_the_later_word_on_a_window_holds(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.learn([sample(stand, 100)])
        old = Told(moment(stand.now - 60), 10.0, int(stand.now) + 9_000)
        stand.load(stand.member("anna", secondary=old), version=2)
        assert (await stand.router.choose()).outcome == "quota_exceeded"
        new = Told(moment(stand.now + 60), 5.0, int(stand.now) + 99_000)
        stand.load(stand.member("anna", secondary=new), version=3)
        assert await stand.chosen() == {"anna": 200}


def sample(stand: Stand, used: float, window: str = "secondary", account: str = "anna") -> UsageSample:
    return UsageSample(account, moment(stand.now), window, used, int(stand.now) + 9_000)


class TestQuota:
    async def test_a_full_window_holds_at_once(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        stand.router.learn([sample(stand, 100)])
        assert await stand.chosen() == {"ben": 200}
        stand.router.learn([sample(stand, 100, "primary", "ben")])
        selection = await stand.router.choose()
        assert (selection.account, selection.retry_at) == (None, int(stand.now) + 9_000)

    async def test_a_window_that_fills_changes_the_score_soon(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.learn([sample(stand, 50)])
        stand.now += 1
        stand.router.learn([sample(stand, 51)])
        assert (await stand.router.choose()).score == pytest.approx(0.72 / 8_999, rel=1e-3)

    async def test_an_account_that_is_not_ours_is_left_out(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.learn([sample(stand, 100, account="default")])
        assert await stand.chosen() == {"anna": 200}


class TestQuotaGivenAnew:
    """A provider that resets quota for everybody, days before the reset that it had named."""

    def spend(self, stand: Stand) -> None:
        """All of a week is used, and the provider has said so."""
        stand.load("anna")
        stand.router.learn([sample(stand, 97), sample(stand, 30, "primary")])
        spent = Failure(429, "usage_limit_reached", resets_at=int(stand.now) + 9_000)
        stand.router.failed("anna", spent, stand.now)
        stand.now += 300

    async def test_it_is_used_at_once(self, stand: Stand) -> None:
        self.spend(stand)
        assert await stand.chosen() == {None: 200}
        stand.router.learn([sample(stand, 2), sample(stand, 0, "primary")])
        assert await stand.chosen() == {"anna": 200}

    async def test_the_ledger_and_so_every_process_is_told(self, stand: Stand) -> None:
        self.spend(stand)
        stand.router.learn([sample(stand, 2)])
        mark = stand.marks[-1]
        assert (mark.event, mark.status, mark.reset_at, mark.errors) == ("cleared", "active", None, 0)
        assert mark.at == mark.began_at == moment(stand.now)

    async def test_a_ledger_that_does_not_know_it_yet_takes_nothing_back(self, stand: Stand) -> None:
        self.spend(stand)
        stand.router.learn([sample(stand, 2)])
        marked = moment(stand.now - 300)
        spent = stand.member("anna", "quota_exceeded", reset_at=int(stand.now) + 9_000, marked_at=marked)
        stand.load(spent, version=2)
        assert await stand.chosen() == {"anna": 200}

    @pytest.mark.parametrize("used", [100, 99, 48])
    async def test_a_window_that_has_hardly_fallen_is_the_old_one(self, stand: Stand, used: float) -> None:
        self.spend(stand)
        stand.router.learn([sample(stand, used)])
        assert await stand.chosen() == {None: 200}

    async def test_one_window_is_not_both(self, stand: Stand) -> None:
        self.spend(stand)
        stand.router.learn([sample(stand, 100), sample(stand, 90, "primary")])
        stand.router.learn([sample(stand, 0, "primary")])
        assert await stand.chosen() == {None: 200}
        assert [mark.event for mark in stand.marks] == ["quota_exceeded"]

    async def test_the_window_that_was_not_spent_says_nothing(self, stand: Stand) -> None:
        self.spend(stand)
        stand.router.learn([sample(stand, 0, "primary")])
        assert await stand.chosen() == {None: 200}

    async def test_a_window_that_began_anew_by_itself_says_nothing_of_the_other(self, stand: Stand) -> None:
        self.spend(stand)
        stand.now += 9_000 - 300 - 1  # the hours end a second before the week does
        hours = Told(moment(stand.now - 60), 90.0, int(stand.now))
        stand.load(
            stand.member(
                "anna",
                "quota_exceeded",
                reset_at=int(stand.now) + 1,
                marked_at=moment(stand.now - 60),
                primary=hours,
            ),
            version=2,
        )
        stand.router.learn([sample(stand, 0, "primary")])
        assert await stand.chosen() == {None: 200}

    async def test_what_was_said_before_the_mark_does_not_lift_it(self, stand: Stand) -> None:
        self.spend(stand)
        told = sample(stand, 2)
        stand.router.failed("anna", SPENT, stand.now)
        stand.router.learn([told])
        assert await stand.chosen() == {None: 200}

    async def test_a_person_is_not_overruled(self, stand: Stand) -> None:
        self.spend(stand)
        stand.load(stand.member("anna", "paused", marked_at=moment(stand.now)), version=2)
        stand.router.learn([sample(stand, 2)])
        assert (await stand.router.choose()).outcome == "paused"

    async def test_a_rate_limit_is_not_lifted(self, stand: Stand) -> None:
        stand.load("anna")
        stand.router.learn([sample(stand, 97)])
        stand.router.failed("anna", LIMITED, stand.now)
        stand.now += 10
        stand.router.learn([sample(stand, 2)])
        assert await stand.chosen() == {None: 200}

    async def test_a_late_old_word_takes_nothing_back(self, stand: Stand) -> None:
        self.spend(stand)
        old = sample(stand, 100)
        stand.now += 5
        stand.router.learn([sample(stand, 2)])
        stand.router.learn([old])
        assert await stand.chosen() == {"anna": 200}


class TestConversations:
    async def test_a_conversation_stays_with_its_account(self, stand: Stand) -> None:
        stand.load("anna", "ben", "chloe")
        first = (await stand.router.choose("talk")).account
        assert await stand.chosen(conversation="talk") == {first: 200}
        assert len(await stand.chosen()) == 3

    async def test_it_moves_on_a_retry_and_stays_there(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        first = (await stand.router.choose("talk")).account
        assert first is not None
        second = (await stand.router.choose("talk", {first})).account
        assert second not in (None, first)
        assert await stand.chosen(conversation="talk") == {second: 200}

    async def test_it_moves_when_its_account_is_out(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        first = (await stand.router.choose("talk")).account
        assert first is not None
        stand.router.failed(first, SPENT, stand.now)
        assert (await stand.router.choose("talk")).account not in (None, first)

    async def test_it_is_forgotten_after_its_time(self, stand: Stand) -> None:
        stand.load("anna", "ben")
        await stand.router.choose("talk")
        stand.now += 86_400
        accounts = set()
        for _ in range(50):
            accounts.add((await stand.router.choose("talk")).account)
            stand.now += 86_400
        assert accounts == {"anna", "ben"}


class TestMetrics:
    async def test_selections_are_counted_by_pool_and_outcome(self, stand: Stand) -> None:
        stand.load(stand.member("pin", "paused", pool="pinned"), stand.member("anna", plan="pro"))
        await stand.router.choose()
        await stand.router.choose("talk")
        await stand.router.choose("talk", {"anna"})
        found = stand.samples()

        def count(pool: str, backend: str, retry: str, outcome: str) -> float:
            labels = (
                f'outcome="{outcome}",pool="{pool}",reallocate_sticky="{retry}",sticky_backend="{backend}"'
            )
            return found[f"codex_lb_lb_select_total{{{labels}}}"]

        assert count("pinned", "none", "false", "paused") == 1
        assert count("full", "none", "false", "selected") == 1
        assert count("full", "memory", "false", "selected") == 1
        assert count("full", "memory", "true", "no_available") == 1
        tier = 'pool="full",reallocate_sticky="false",sticky_backend="none",tier="pro"'
        assert found[f"codex_lb_lb_selected_tier_total{{{tier}}}"] == 1
        assert found[f"codex_lb_lb_tier_score_count{{{tier}}}"] == 1

    async def test_marks_are_counted_by_event_and_account(self, stand: Stand) -> None:
        stand.load("anna")
        for failure in (LIMITED, SPENT, BROKEN, BROKEN, DEAD):
            stand.router.failed("anna", failure, stand.now)
        found = stand.samples()
        counts = {
            event: found[f'codex_lb_lb_mark_total{{account_id="anna",event="{event}"}}']
            for event in ("rate_limit", "quota_exceeded", "error", "permanent_failure")
        }
        assert counts == {"rate_limit": 1, "quota_exceeded": 1, "error": 2, "permanent_failure": 1}
        assert found['codex_lb_lb_mark_permanent_failure_total{code="invalid_api_key"}'] == 1

    async def test_what_is_known_beforehand_begins_at_nothing(self, stand: Stand) -> None:
        stand.load("anna")
        found = stand.samples()
        assert found['codex_lb_lb_mark_total{account_id="anna",event="rate_limit"}'] == 0
        assert found['codex_lb_lb_mark_permanent_failure_total{code="account_deleted"}'] == 0
        assert found["codex_lb_lb_snapshot_refresh_total"] == 1
        assert found["codex_lb_lb_snapshot_updated_at_seconds"] == stand.now
        assert sum(value for name, value in found.items() if name.startswith("codex_lb_lb_select_total")) == 0

    async def test_scores_fall_into_the_buckets(self, stand: Stand) -> None:
        """From a free account at the start of its week to a pro one in its last minute."""
        for number, (plan, left) in enumerate(
            [("free", 604_800), ("plus", 86_400), ("plus", 3_600), ("pro", 1)]
        ):
            window = Told(moment(stand.now), 1.0, int(stand.now) + left)
            stand.load(
                stand.member("anna", plan=plan, secondary=window, marked_at=moment(stand.now + number))
            )
            await stand.router.choose()
        buckets = {
            name: value
            for name, value in stand.samples().items()
            if name.startswith("codex_lb_lb_tier_score_bucket")
        }
        for tier in ("free", "plus", "pro"):
            mine = {name: value for name, value in buckets.items() if f'tier="{tier}"' in name}
            assert max(v for name, v in mine.items() if "+Inf" not in name) == max(mine.values())
        assert len({tuple(v for n, v in buckets.items() if t in n) for t in ("free", "plus", "pro")}) == 3


async def test_choosing_does_not_wait_for_the_end_of_a_refresh(stand: Stand) -> None:
    """A cooldown that ends between two readings of the ledger ends at its own time."""
    stand.load(stand.member("anna", wait_until=stand.now + 0.3))
    assert (await stand.router.choose()).outcome == "cooldown"
    stand.now += 0.3
    assert (await stand.router.choose()).account == "anna"


def test_marks_are_dated_in_utc(stand: Stand) -> None:
    stand.load("anna")
    stand.router.failed("anna", BROKEN, stand.now)
    assert stand.marks[0].at.utcoffset() == timedelta(0)

"""Which turns move to another account: while one is there, each account once, three in all."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts.configured import Description
from ledger.accounts.pool import Fleet, Member
from metrics import proxy as metrics
from proxy.http.routes import Route
from proxy.metering.event import Caller
from proxy.observers.registry import Metrics
from proxy.routing.affinity import Memory, sticky_key
from proxy.routing.attempts import Attempts
from proxy.routing.counters import Counting
from proxy.routing.failure import Failure, Verdict
from proxy.routing.router import Router, Rules
from proxy.routing.score import Weights
from proxy.websocket import failover as moves
from proxy.websocket.failover import REMEMBERED_SECONDS, Moves
from proxy.websocket.turns import Lost

ERROR = Failure(503, "server_error")
NAMES = ("anna", "bert", "carl", "dora", "emil")
RETRIED = 'codex_lb_proxy_account_retries_total{account_id="anna",api="responses",error_class="upstream"}'


def conversation(session: str | None = "one", key: str = "team") -> Attempts:
    """What is known of a caller."""
    caller = Caller("GET", Route("responses", "/v1/responses", False), key, "req", session, None)
    return Attempts(caller, lambda event: None, lambda samples: None, 0.0)


@dataclass
class Fleeting:
    """Moves between accounts of a real router, whose clock stands still unless the test moves it."""

    names: tuple[str, ...] = NAMES
    most: int = 3
    now: float = 1_800_000_000.0
    metrics: Metrics = field(default_factory=lambda: Metrics(metrics.FAMILIES))
    counting: Counting = field(init=False)
    router: Router = field(init=False)
    moves: Moves = field(init=False)

    def __post_init__(self) -> None:
        self.counting = Counting(self.metrics, "memory")
        self.router = Router(
            Rules(Weights()),
            self.counting,
            lambda mark: None,
            sticky=Memory(86_400.0),
            clock=lambda: self.now,
            rng=Random(1),
        )
        members = tuple(Member(Description(name, "env:KEY"), "active", "config") for name in self.names)
        self.router.load(Fleet(1, members))
        self.moves = Moves(self.router, self.counting, self.most, lambda: self.now)

    def fails(
        self, name: str, attempts: Attempts | None = None, *, after: float = 1.0, failure: Failure = ERROR
    ) -> bool:
        """Whether a turn moves that an account failed so many seconds after its beginning."""
        began = self.now
        self.now += after
        verdict = self.router.failed(name, failure, began)
        assert verdict is not None
        return self.moves.move(name, "api", attempts or conversation(), Lost(began, failure, verdict))

    async def chosen(self, count: int) -> None:
        """Requests of others, so that the chances are other ones."""
        for _ in range(count):
            await self.router.choose()

    def samples(self) -> dict[str, float]:
        lines = self.metrics.exposition("")[0].decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


def test_a_turn_moves_while_another_account_is_eligible() -> None:
    fleet = Fleeting(("anna", "bert"))
    assert fleet.fails("anna")
    assert fleet.samples()[RETRIED] == 1
    fleet = Fleeting(("anna", "bert"))
    fleet.router.failed("bert", Failure(429, "usage_limit_reached"), fleet.now)
    assert not fleet.fails("anna")
    assert fleet.samples().get(RETRIED, 0) == 0


def test_an_account_that_rests_is_no_other_account() -> None:
    fleet = Fleeting(("anna", "bert"))
    assert fleet.fails("anna")
    assert not fleet.fails("bert", after=0.1)


def test_an_account_that_was_left_is_no_other_account() -> None:
    fleet = Fleeting(("anna", "bert"))
    assert fleet.fails("anna")
    fleet.now += 1  # it has rested
    assert not fleet.fails("bert")


def test_three_accounts_get_a_turn_and_then_the_client_hears_of_it() -> None:
    fleet = Fleeting()
    assert [fleet.fails(name) for name in NAMES[:3]] == [True, True, False]
    assert [fleet.fails(name) for name in NAMES[:3]] == [True, True, False], "what it asks for next"


def test_an_account_gets_a_turn_once() -> None:
    fleet = Fleeting()
    assert [fleet.fails("anna"), fleet.fails("anna")] == [True, False]


def test_turns_that_failed_together_move_together() -> None:
    fleet = Fleeting()
    began = fleet.now
    assert fleet.fails("anna", after=5)
    verdict = Verdict("error", "server_error")
    for _ in range(5):
        assert fleet.moves.move("anna", "api", conversation(), Lost(began, ERROR, verdict))
        fleet.now += 1
    assert fleet.fails("bert"), "and count as one"


def test_where_most_is_one_no_turn_moves() -> None:
    assert not Fleeting(most=1).fails("anna")


def test_a_move_of_long_ago_is_no_try_at_this_turn() -> None:
    fleet = Fleeting()
    assert [fleet.fails("anna"), fleet.fails("bert")] == [True, True]
    fleet.now += REMEMBERED_SECONDS
    assert [fleet.fails("anna"), fleet.fails("bert")] == [True, True]


def test_conversations_and_callers_without_one_are_told_apart() -> None:
    fleet = Fleeting()
    for attempts in (conversation(), conversation("two"), conversation(None), conversation(None, "other")):
        assert fleet.fails("anna", attempts)
        assert not fleet.fails("anna", attempts)
        fleet.now += 400  # it rests the longer


def test_a_token_that_is_only_too_old_is_no_reason_to_move() -> None:
    failure = Failure(401, "token_expired", can_refresh=True)
    assert not Fleeting().fails("anna", failure=failure)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "MAX_CONVERSATIONS", 2)
    fleet = Fleeting()
    for name in ("one", "two", "three"):
        assert fleet.fails("anna", conversation(name))
    assert fleet.fails("anna", conversation("one")), "forgotten"
    assert not fleet.fails("anna", conversation("three"))


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0.01, 20)), min_size=60, max_size=60))
@pytest.mark.slow
def test_no_client_moves_for_ever(fails: list[tuple[str, float]]) -> None:
    """Whatever account a client comes to and however fast it is: of three failures it hears of one."""
    fleet = Fleeting()
    moved = [fleet.fails(name, after=after) for name, after in fails]
    assert all(sum(moved[at : at + 3]) < 3 for at in range(len(moved)))


@pytest.mark.parametrize("name", "abcdefgh")
async def test_the_next_connection_of_a_conversation_goes_where_it_was_not_yet(name: str) -> None:
    fleet, key = Fleeting(NAMES[:3]), sticky_key(None, name)
    left: set[str | None] = set()
    await fleet.chosen(ord(name))
    for _ in range(2):
        account = (await fleet.router.choose(key)).account
        assert account is not None
        assert fleet.fails(account, conversation(name))
        await fleet.moves.settle(account, "api", conversation(name))
        left.add(account)
        fleet.now += 1  # it has rested
        assert {(await fleet.router.choose(key)).account for _ in range(5)} <= {*NAMES} - left
    assert len(left) == 2


async def test_without_a_conversation_there_is_nothing_to_settle() -> None:
    fleet = Fleeting()
    await fleet.moves.settle("anna", "api", conversation(None))
    fleet.counting.deliver()
    selections = [n for name, n in fleet.samples().items() if name.startswith("codex_lb_lb_select_total")]
    assert sum(selections) == 0

"""Accounts to choose from, and a router whose clock the test holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ledger.accounts.configured import Description
from ledger.accounts.marks import Mark
from ledger.accounts.pool import Fleet, Member
from ledger.quota.samples import Told
from metrics import proxy as metrics
from proxy.accounts.credentials import Kind
from proxy.observers.registry import Metrics
from proxy.routing.affinity import Memory
from proxy.routing.candidate import Candidate
from proxy.routing.counters import Counting
from proxy.routing.router import Router, Rules
from proxy.routing.score import Weights

NOW = 1_800_000_000.0


@pytest.fixture
def now() -> float:
    """The moment at which a test begins, in epoch seconds."""
    return NOW


MakeCandidate = Callable[..., Candidate]


@pytest.fixture(scope="session")
def make_candidate() -> MakeCandidate:
    """Makes an account: `week` and `hours` are (percent used, seconds until the reset)."""

    def make(
        name: str = "anna",
        *,
        week: tuple[float, float] | None = None,
        hours: tuple[float, float] | None = None,
        **other: Any,
    ) -> Candidate:
        return Candidate(id=name, primary=_told(hours), secondary=_told(week), **other)

    return make


def _told(window: tuple[float, float] | None) -> Told | None:
    if window is None:
        return None
    return Told(datetime.fromtimestamp(NOW, UTC), window[0], int(NOW + window[1]))


@dataclass
class Stand:
    """A router whose clock stands still unless the test moves it."""

    now: float = NOW
    marks: list[Mark] = field(default_factory=list)
    registry: Metrics = field(default_factory=lambda: Metrics(metrics.FAMILIES))
    counting: Counting = field(init=False)
    router: Router = field(init=False)

    def __post_init__(self) -> None:
        self.counting = Counting(self.registry, "memory")
        self.router = Router(
            Rules(Weights(), quota_rest=3_600.0),
            self.counting,
            self.marks.append,
            sticky=Memory(86_400.0),
            clock=lambda: self.now,
            rng=Random(1),
        )

    def load(
        self, *accounts: str | Member, version: int = 1, usable: Mapping[str, Kind] | None = None
    ) -> None:
        """Bring the ledger's accounts."""
        members = tuple(a if isinstance(a, Member) else self.member(a) for a in accounts)
        self.router.load(Fleet(version, members), usable)

    def member(self, name: str, status: str = "active", **other: Any) -> Member:
        plan, pool = other.pop("plan", "plus"), other.pop("pool", "full")
        base = other.pop("upstream_base_url", None)
        about = Description(name, "env:KEY", plan=plan, pool=pool, upstream_base_url=base)
        return Member(about, status, "config", **other)

    async def chosen(self, count: int = 200, **how: Any) -> dict[str | None, int]:
        """How often each account is chosen."""
        found: dict[str | None, int] = {}
        for _ in range(count):
            account = (await self.router.choose(**how)).account
            found[account] = found.get(account, 0) + 1
        return found

    def samples(self) -> dict[str, float]:
        """The scrape as `name{labels}` -> value."""
        self.counting.deliver()
        lines = self.registry.exposition("")[0].decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


@pytest.fixture
def stand() -> Stand:
    """A router on its own."""
    return Stand()


NOBODY = 65_534


@contextmanager
def _as_nobody() -> Iterator[None]:
    root = os.geteuid() == 0
    if root:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """`with as_nobody():` lets go of what root may do, for whom permissions say nothing."""
    return _as_nobody


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A file that belongs to whom `as_nobody` makes of us, with its folder; both may be made read-only."""
    with TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder, "auth.json")
        path.write_text("old")
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
            os.chown(folder, NOBODY, NOBODY)
        yield path
        path.parent.chmod(0o700)

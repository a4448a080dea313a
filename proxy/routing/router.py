"""The router: the one place that holds the accounts as they are now. All else here is pure.

It lives in the event loop of its process. The ledger brings it what other processes and people decided
(`load`), and takes what it noticed (`note`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import count
from math import ceil
from random import Random
from time import time

from ledger.accounts.marks import Mark
from ledger.accounts.pool import Fleet, Member
from ledger.quota.samples import Told, newest
from ledger.quota.windows import Slot
from ledger.values import UsageSample
from proxy.accounts.credentials import Kind
from proxy.routing.affinity import Sticky
from proxy.routing.candidate import FULL, Candidate, Host, candidate
from proxy.routing.counters import Counting
from proxy.routing.failure import Failure, Verdict, classify
from proxy.routing.health import failed, informed, mark, merged, succeeded
from proxy.routing.model_rests import ModelRests
from proxy.routing.score import Weights
from proxy.routing.selection import Selection, limited, select, spread
from proxy.routing.snapshot import Snapshot, snapshot

LEARN_SECONDS = 1.0
"""Windows that fill change scores a little: such news can wait for so long. One that is full cannot."""

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """What selection goes by. `quota_rest`: seconds that a spent quota rests where its reset is not known."""

    weights: Weights
    quota_rest: float = 3_600.0


class Router:
    """Chooses accounts and learns from how they fare.

    Args:
        sticky: remembers conversations; None where they are not to stay with their account.
        note: takes marks for the ledger; must not block or raise.
        clock: epoch seconds.
    """

    def __init__(
        self,
        rules: Rules,
        counting: Counting,
        note: Callable[[Mark], None],
        *,
        sticky: Sticky | None = None,
        clock: Callable[[], float] = time,
        rng: Random | None = None,
    ) -> None:
        self._rules = rules
        self._counting = counting
        self._note = note
        self._sticky = sticky
        self._clock = clock
        self._random = rng or Random()
        self._numbers = count(self._random.randrange(1 << 20))  # processes do not choose in step
        self._accounts: dict[str, Candidate] = {}
        self._snapshots: dict[Host, Snapshot] = {}
        self._model_rests = ModelRests()
        self._serves: frozenset[Host] = frozenset()
        self.members: Mapping[str, Member] = {}
        self.version = 0

    def snapshot(self, host: Host = "api") -> Snapshot:
        """The accounts of a host as they are now."""
        taken = self._snapshots.get(host)
        if taken is None or self._clock() >= taken.fresh_until:
            accounts = (account for account in self._accounts.values() if host in account.hosts)
            taken = self._snapshots[host] = snapshot(accounts, self._rules.weights, self._clock())
        return taken

    def serves(self, host: Host) -> bool:
        """Whether there is an account for a host, of whatever health."""
        return host in self._serves

    def load(self, fleet: Fleet, usable: Mapping[str, Kind] | None = None) -> None:
        """Take over the ledger's accounts; what this process has noticed since is not lost.

        Args:
            usable: the kind of each credential that this process holds; None: a key for every account.
        """
        stored = [
            candidate(member, "key" if usable is None else usable.get(member.account.id))
            for member in fleet.members
        ]
        before = self._accounts
        self._model_rests.resumed(
            known.id
            for known in stored
            if known.id in before and known.resumed_at != before[known.id].resumed_at
        )
        self._accounts = {known.id: merged(known, before.get(known.id)) for known in stored}
        self._serves = frozenset(host for account in stored for host in account.hosts)
        self.members = {member.account.id: member for member in fleet.members}
        self.version = fleet.version
        self._snapshots.clear()
        self._counting.refreshed(self.members, self._clock())

    async def choose(
        self,
        conversation: str | None = None,
        tried: Set[str] = _NOBODY,
        host: Host = "api",
        model: str | None = None,
    ) -> Selection:
        """Choose an account for a request, and count the choice.

        Args:
            conversation: what `sticky_key` gave for the request.
            tried: accounts that the request was sent to already; none of them is chosen again, and its
                conversation moves.
            model: that is asked for; accounts that rest for it alone are left out.
        """
        sticky = self._sticky if conversation is not None else None
        before = await sticky.find(conversation or "", self._clock()) if sticky and not tried else None
        resting = self._model_rests.resting(model, self._clock())
        out = tried | resting.keys() if resting else tried
        selection = select(self.snapshot(host), spread(next(self._numbers)), sticky=before, exclude=out)
        if resting and selection.account is None:
            selection = limited(selection, self.snapshot(host), resting)
        if sticky and selection.account is not None:
            sticky.keep(conversation or "", selection.account, self._clock())
        self._counting.selected(selection, sticky=sticky is not None, retry=bool(tried))
        return selection

    def failed(self, account_id: str, failure: Failure, began_at: float) -> Verdict | None:
        """An attempt failed: mark its account.

        Args:
            began_at: epoch seconds at which the attempt was sent.
        Returns: what it means; None where the request itself is at fault and no account would do. A
            verdict with `refresh` has marked nothing: refresh the token, then say `failed` again by how
            that went. One without `marks` has marked nothing either; another account may do.
        """
        now = self._clock()
        verdict = classify(failure, now)
        if verdict is None or verdict.refresh or not verdict.marks:
            return verdict
        self._counting.marked(account_id, verdict)
        known = self._accounts.get(account_id)
        if known is None:
            return verdict
        draw, rest = self._random.random(), self._rules.quota_rest
        if verdict.model is not None:
            wait = verdict.retry_after
            self._model_rests.limited(account_id, verdict.model, wait, began_at, now, draw)
        else:
            self._put(known, failed(known, verdict, began_at, now, draw, rest), verdict)
        return verdict

    def succeeded(self, account_id: str, began_at: float, model: str | None = None) -> None:
        """An attempt went well; `began_at` as for `failed`, `model` as for `choose`."""
        if model is not None:
            self._model_rests.succeeded(account_id, model, began_at)
        known = self._accounts.get(account_id)
        if known is not None and known.errors:
            self._put(known, succeeded(known, began_at, self._clock()), None)

    def learn(self, samples: Iterable[UsageSample]) -> None:
        """Take over what a provider said of quota windows; one that it reset is spent no more."""
        full = False
        for account_id, told in _by_account(newest(samples)).items():
            known = self._accounts.get(account_id)
            if known is None:
                continue
            after = self._accounts[account_id] = informed(known, told, self._clock())
            full |= any(window.used_percent >= FULL for window in told.values())
            if after.status != known.status:
                self._put(known, after, None)
        old = self._clock() - LEARN_SECONDS
        if full or any(taken.taken_at <= old for taken in self._snapshots.values()):
            self._snapshots.clear()

    def _put(self, before: Candidate, after: Candidate, verdict: Verdict | None) -> None:
        if after is not before:
            self._accounts[after.id] = after
            self._note(mark(before, after, verdict))
            self._snapshots.clear()  # taken again by the next request, once for a burst of marks


def _by_account(told: Mapping[tuple[str, Slot], Told]) -> Mapping[str, dict[Slot, Told]]:
    found: dict[str, dict[Slot, Told]] = {}
    for (account_id, slot), window in told.items():
        found.setdefault(account_id, {})[slot] = window
    return found


def retry_after(selection: Selection, now: float) -> int | None:
    """Whole seconds until an account comes back, for a refusal's Retry-After; None: not by itself."""
    return None if selection.retry_at is None else max(1, ceil(selection.retry_at - now))

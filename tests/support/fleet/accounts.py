"""Accounts as their provider knows them: what each may ask, and what it is told when it may not.

An account's trouble is counted in requests, not in time, so that a fast machine sees as much of it as a
slow one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from simulator.provider.limits import RateLimits, Window

FOR_GOOD = 4_000_000_000.0
"""Epoch seconds that no test lives to see."""

DAY = 86_400
SOON_SECONDS = 0.15
"""How long callers are expected to leave an account alone that was answered 500."""

Death = Literal["account_deactivated", "account_suspended", "invalid_api_key"]


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """One account and its troubles; each of them is left out where nothing is said.

    Attributes:
        week_days: until its weekly quota is reset.
        week: requests that its week is good for.
        hours: requests that its short window is good for; it lasts `hours_seconds`.
        credit: requests that are paid for; a key without a plan has no windows.
        limited_every: the request after so many is rate limited, and all others for `limited_seconds`.
        broken_every: each so-manieth request fails.
        lives: requests after which the account is no more, with `death`.
        login: it signs in with tokens, each good for `token_lives` requests, that are refreshed
            `refreshes` times.
    """

    id: str
    plan: str
    week_days: float = 7.0
    pinned: bool = False
    week: int | None = None
    hours: int | None = None
    hours_seconds: int = 2
    credit: int | None = None
    limited_every: int | None = None
    limited_seconds: float = 1.5
    broken_every: int | None = None
    lives: int | None = None
    death: Death = "account_deactivated"
    login: bool = False
    token_lives: int | None = None
    refreshes: int | None = None

    @property
    def first_token(self) -> str:
        """The key, or a login's first token."""
        return f"sk-simulated-{self.id}-0"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer.

    Attributes:
        code, message: of an error.
        resets_at: epoch seconds, told with a spent quota.
        away_until: epoch seconds before which nobody who has read this should ask for the account again.
        limits: quota windows, told beside the answer.
    """

    status: int = 200
    code: str | None = None
    message: str = ""
    resets_at: int | None = None
    away_until: float = 0.0
    limits: RateLimits | None = None


@dataclass(slots=True)
class Attendant:
    """Attends to one account. Its clock is the caller's: `now` in epoch seconds."""

    account: ProviderAccount
    answered: int = 0
    asked: int = 0
    limited_until: float = 0.0
    token_used: int = 0
    refreshed: int = 0
    hours_used: int = 0
    hours_end: int = 0
    given_anew: int = 0
    _token: str = field(init=False)

    def __post_init__(self) -> None:
        self._token = self.account.first_token

    def attend(self, token: str, now: float) -> Said:
        """Answer one request."""
        self.asked += 1
        said = self._refusal(token, now)
        if said is None:
            self.answered += 1
            self.hours_used += 1
            self.token_used += 1
            said = Said(away_until=self._full_until(now))
        windows = None if self.account.plan == "api" or said.status == 401 else self.windows(now)
        return Said(said.status, said.code, said.message, said.resets_at, said.away_until, windows)

    def refresh(self, token: str) -> str | None:
        """A new token for a refresh token, which works once; None where the login is over."""
        account = self.account
        over = account.refreshes is not None and self.refreshed >= account.refreshes
        if over or token != self.refresh_token:
            return None
        self.refreshed += 1
        self.token_used = 0
        self._token = f"sk-simulated-{account.id}-{self.refreshed}"
        return self._token

    @property
    def refresh_token(self) -> str:
        """The one that works now."""
        return f"rt-simulated-{self.account.id}-{self.refreshed}"

    def give_anew(self) -> None:
        """All quota resets, before its time."""
        self.given_anew, self.hours_used = self.answered, 0

    def windows(self, now: float) -> RateLimits:
        """How much is used."""
        account = self.account
        self._begin_hours(now)
        used = self.answered - self.given_anew
        week = Window(_percent(used, account.week), 7 * DAY // 60, self._week_end(now))
        if account.hours is None:
            return RateLimits(secondary=week)
        return RateLimits(Window(_percent(self.hours_used, account.hours), 300, self.hours_end), week)

    def _refusal(self, token: str, now: float) -> Said | None:
        account = self.account
        if account.lives is not None and self.answered >= account.lives:
            return Said(401, account.death, "This account is no more.", away_until=FOR_GOOD)
        if token != self._token or (
            account.token_lives is not None and self.token_used >= account.token_lives
        ):
            return Said(401, "token_expired", "Your authentication token has expired.")
        return self._spent(now) or self._limited(now) or self._broken(now)

    def _spent(self, now: float) -> Said | None:
        account = self.account
        self._begin_hours(now)
        if account.credit is not None and self.answered >= account.credit:
            return Said(429, "insufficient_quota", "You exceeded your current quota.", away_until=FOR_GOOD)
        end = self._full_until(now)
        message = "The usage limit has been reached"
        return Said(429, "usage_limit_reached", message, resets_at=end, away_until=end) if end else None

    def _full_until(self, now: float) -> int:
        """The end of a window that is used up, which can be read beside an answer too; 0 where none is."""
        account, end = self.account, 0
        if account.week is not None and self.answered - self.given_anew >= account.week:
            end = self._week_end(now)
        if account.hours is not None and self.hours_used >= account.hours:
            end = max(end, self.hours_end)
        return end

    def _limited(self, now: float) -> Said | None:
        account = self.account
        if account.limited_every and self.asked % account.limited_every == 0:
            self.limited_until = max(self.limited_until, now + account.limited_seconds)
        left = self.limited_until - now
        if left <= 0:
            return None
        message = f"Rate limit reached. Please try again in {left:.3f}s."
        return Said(429, "rate_limit_exceeded", message, away_until=self.limited_until)

    def _broken(self, now: float) -> Said | None:
        every = self.account.broken_every
        if not every or self.asked % every:
            return None
        return Said(500, "server_error", "The server had an error.", away_until=now + SOON_SECONDS)

    def _begin_hours(self, now: float) -> None:
        if now >= self.hours_end:
            self.hours_used, self.hours_end = 0, int(now) + self.account.hours_seconds

    def _week_end(self, now: float) -> int:
        """Days ahead, on a whole day: the same for every answer of a test."""
        return (int(now) // DAY + 1) * DAY + int(self.account.week_days * DAY)


def _percent(used: int, whole: int | None) -> float:
    return 12.0 if whole is None else min(100.0, 100.0 * used / whole)

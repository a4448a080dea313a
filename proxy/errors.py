"""Errors of the proxy.

ProxyError
├── UpstreamError    the provider cannot be reached, is too slow or breaks off
│   └── UpstreamTimeout
├── BrokenFrames    bytes on a WebSocket that are no frames
├── AddressTaken    somebody listens already where we are to listen
├── BodyLogError    the opt-in log of bodies cannot be opened
├── CredentialError  an account's credential cannot be read, or its token not be refreshed
│   ├── RefreshRefused
│   └── TokenUnavailable
├── PollFailed       a quota could not be asked for
├── ClientGone       the caller closed its connection
└── Refused          answered here, without asking the provider
    └── BudgetRefused
        ├── BudgetSpent
        ├── BudgetReserved
        └── BudgetUnavailable
"""

from __future__ import annotations

import errno

from ledger.accounts.budgets import Period
from ledger.values import EndReason
from serving.service import system_reason


class ProxyError(Exception):
    """Base of all that the proxy raises."""


class UpstreamError(ProxyError):
    """The provider cannot be reached or broke off; `code` is what the client and the ledger see."""

    status = 502
    end_reason: EndReason = "upstream_error"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class UpstreamTimeout(UpstreamError):
    """The provider kept silent for longer than the configured limit."""

    status = 504
    end_reason: EndReason = "timeout"


class BrokenFrames(ProxyError):
    """Bytes on a WebSocket that are no frames, or frames in an impossible order."""


class AddressTaken(ProxyError):
    """Somebody listens already at the address, or nobody can."""

    def __init__(self, address: str, error: OSError) -> None:
        hint = "; an older proxy may still run" if error.errno == errno.EADDRINUSE else ""
        super().__init__(f"cannot listen on {address}: {system_reason(error)}{hint}")


class BodyLogError(ProxyError):
    """The opt-in log of bodies cannot be opened."""


class CredentialError(ProxyError):
    """An account's credential cannot be used; the text names the account, never the secret."""

    def __init__(self, account_id: str, problem: str) -> None:
        super().__init__(f"account {account_id!r}: {problem}")
        self.account_id = account_id
        self.problem = problem


class RefreshRefused(CredentialError):
    """The token URL will not give a new token, and the account needs a new login; `code` says why,
    `status` is the answer's."""

    def __init__(self, account_id: str, status: int, code: str) -> None:
        super().__init__(account_id, f"its token cannot be refreshed ({code}); log in again, then reauth")
        self.status = status
        self.code = code


class TokenUnavailable(CredentialError):
    """No new token could be had now; `status` is the answer's, 0 where none came."""

    def __init__(self, account_id: str, status: int, problem: str) -> None:
        super().__init__(account_id, problem)
        self.status = status


class PollFailed(ProxyError):
    """No quota was told; `status` is the answer's, 0 where none came."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class ClientGone(ProxyError):
    """The caller closed its connection before the answer was complete."""


class Refused(ProxyError):
    """A request that is not forwarded; `status`, `code` and `retry_after` (seconds) go to the client."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class BudgetRefused(Refused):
    """The caller's proxy key may not spend more now."""


class BudgetSpent(BudgetRefused):
    """Its budget is spent for this period; `key` is its name."""

    def __init__(self, message: str, key: str, period: Period, *, retry_after: int) -> None:
        super().__init__(429, "budget_exceeded", message, retry_after=retry_after)
        self.key = key
        self.period = period


class BudgetReserved(BudgetRefused):
    """What is left of its budget is reserved by requests that run; some of that comes back."""

    def __init__(self, key: str, period: Period, limit: str) -> None:
        message = (
            f"the rest of the {period} budget of ${limit} of the proxy key {key!r} is reserved by "
            "running requests; try again soon"
        )
        super().__init__(429, "budget_reserved", message, retry_after=1)
        self.key = key
        self.period = period


class BudgetUnavailable(BudgetRefused):
    """The ledger does not answer, so it cannot be known what is left."""

    def __init__(self) -> None:
        message = "the ledger is unavailable, so the budget of this proxy key cannot be checked"
        super().__init__(503, "budget_unavailable", message, retry_after=2)

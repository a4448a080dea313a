"""Errors of the proxy.

ProxyError
├── UpstreamError    the provider cannot be reached, is too slow or breaks off
│   └── UpstreamTimeout
├── BodyLogError    the opt-in log of bodies cannot be opened
├── CredentialError  an account's credential cannot be read, or its token not be had anew
│   └── RefreshRefused
├── ClientGone       the caller closed its connection
└── Refused          answered here, without asking the provider
"""

from __future__ import annotations

from ledger.values import EndReason


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


class BodyLogError(ProxyError):
    """The opt-in log of bodies cannot be opened."""


class CredentialError(ProxyError):
    """An account's credential cannot be used; the text names the account, never the secret."""

    def __init__(self, account_id: str, problem: str) -> None:
        super().__init__(f"account {account_id!r}: {problem}")
        self.account_id = account_id


class RefreshRefused(CredentialError):
    """The token URL will not give a new token; `code` says why, and the account needs a new login."""

    def __init__(self, account_id: str, code: str) -> None:
        super().__init__(account_id, f"its token cannot be refreshed ({code}); log in anew, then reauth")
        self.code = code


class ClientGone(ProxyError):
    """The caller closed its connection before the answer was complete."""


class Refused(ProxyError):
    """A request that is not forwarded; `status` and `code` go to the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

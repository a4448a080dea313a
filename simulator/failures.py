"""How requests fail: codes, statuses and texts as providers give them, and how often each occurs."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.values import EndReason


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail.

    Attributes:
        error_class: as the metric contract groups errors.
        share: relative to the other ways.
    """

    code: str
    http_status: int
    error_class: str
    message: str
    share: float
    end_reason: EndReason = "done"


FAILURES: tuple[Failure, ...] = (
    Failure("rate_limit_exceeded", 429, "rate_limit", "Rate limit reached. Please try again in 2 s.", 40),
    Failure("usage_limit_reached", 429, "quota", "The usage limit has been reached.", 10),
    Failure("server_error", 500, "upstream", "The server had an error while processing your request.", 15),
    Failure("invalid_request_error", 400, "invalid_request", "A parameter is not supported.", 15),
    Failure("context_length_exceeded", 400, "invalid_request", "The input exceeds the context window.", 8),
    Failure("invalid_api_key", 401, "auth", "Incorrect API key provided.", 4),
    Failure("upstream_timeout", 504, "upstream", "The upstream kept silent for too long.", 5, "timeout"),
    Failure(
        "upstream_unreachable", 502, "upstream", "The upstream could not be reached.", 3, "upstream_error"
    ),
)


def error_class(code: str | None) -> str:
    """The class of a simulated failure; `unknown` for a code that is not simulated."""
    return _CLASSES.get(code or "", "unknown")


_CLASSES = {failure.code: failure.error_class for failure in FAILURES}

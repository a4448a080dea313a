"""What the simulated provider remembers of each request: the truth that tests compare with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ledger.values import NO_USAGE, Usage

_SECRET = ("authorization", "x-api-key", "api-key")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of its answer.

    Attributes:
        number: counts the requests for generation from 0; None for every other request.
        api: as the ledger calls it; `other` for a path that is not known.
        path: as it stood in the request line, query included.
        model: the served model; "" where nothing was served.
        usage: token counts that have left in the answer, so far as it was written.
        status: HTTP status that was answered; 0 where the connection ended before.
        streamed: whether the answer was a stream of events.
        complete: whether the whole answer was written.
        authorization: masked to `...` and its last 4 characters; None where none came.
        request_headers: as received, credentials masked alike.
        received: the request's body as it came in, content coding included.
        headers, sent: the answer's headers and body as they went out, content coding included and
            transfer coding taken off.
    """

    number: int | None
    api: str
    method: str
    path: str
    model: str = ""
    usage: Usage = NO_USAGE
    status: int = 0
    streamed: bool = False
    complete: bool = False
    authorization: str | None = None
    request_headers: tuple[tuple[str, str], ...] = ()
    received: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    sent: bytes = b""


def masked(credential: str | None) -> str | None:
    """A credential's last 4 characters; nothing at all of a short one."""
    if credential is None:
        return None
    return "..." + (credential[-4:] if len(credential) > 8 else "")


def masked_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers with every credential masked."""
    return tuple((n, masked(v) or "" if n.lower() in _SECRET else v) for n, v in headers)

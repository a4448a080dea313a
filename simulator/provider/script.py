"""What the simulated provider answers: frozen values, decided before the first request arrives.

A `Script` is a list of answers, taken in turn. Whatever else has the method `answer` can stand in for it
where the answer depends on who asks (`Play`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from ledger.values import Usage
from simulator.errors import ScriptError
from simulator.provider.limits import RateLimits

Coding = Literal["identity", "gzip", "deflate", "br", "zstd"]
Ending = Literal["completed", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of silence before the first byte of a body, and between the events of a stream."""

    first: float = 0.0
    between: float = 0.0


@dataclass(frozen=True, slots=True)
class Wire:
    """How the bytes of an answer are dressed.

    Attributes:
        coding: content coding, applied whether or not the client accepts it.
        line_end: of a stream: LF, CRLF or CR.
        split: most bytes of a stream in one write; None writes event by event.
        final_blank_line: False ends a stream without the newlines after its last event.
    """

    coding: Coding = "identity"
    line_end: Literal["\n", "\r\n", "\r"] = "\n"
    split: int | None = None
    final_blank_line: bool = True


@dataclass(frozen=True, slots=True)
class Refuse:
    """An HTTP error with the provider's error body; `with_usage` puts token counts into it."""

    status: int = 429
    code: str | None = "rate_limit_exceeded"
    type: str = "requests"
    message: str = "Rate limit reached. Please try again in 2 s."
    with_usage: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection closes: before any byte where `after_events` is None, else after that many events
    and `extra_bytes` bytes of the next one. An answer that is no stream breaks off in its middle."""

    after_events: int | None = 2
    extra_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the client leaves: before any byte where `after_events` is None, else in mid-stream."""

    after_events: int | None = None


@dataclass(frozen=True, slots=True)
class ErrorInside:
    """Status 200, and then an error: an event of a stream, or the whole body."""

    after_events: int = 1
    code: str = "server_error"
    message: str = "The server had an error while processing your request."


@dataclass(frozen=True, slots=True)
class Garbage:
    """Status 200 and a body that is not what its content type says."""

    body: bytes = b'{"id": "half a docu'


Fault = Refuse | Cut | Hang | ErrorInside | Garbage


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        usage: cached is part of input, reasoning is part of output (also for the Messages API, which
            is told its own way).
        reports_usage: False keeps every token count out of the answer.
        model: the served model; None serves the requested one.
        service_tier: the served tier; None serves the requested one, or `default`.
        events: text deltas of a stream; also the words of an answer that is no stream.
        word: one delta's text. Not ASCII, so that bytes and characters differ.
        ending: how a response ends; chat completions end with `length` where it is not completed.
        limits: quota windows told in `x-codex-*` headers.
        limits_event: tell them in a `codex.rate_limits` event of a response's stream as well.
        headers: added to the answer's headers; names may repeat.
    """

    usage: Usage = field(default_factory=lambda: Usage(100, 20, 40, 5))
    reports_usage: bool = True
    model: str | None = None
    service_tier: str | None = None
    events: int = 5
    word: str = "naïve "
    ending: Ending = "completed"
    pace: Pace = Pace()
    wire: Wire = Wire()
    fault: Fault | None = None
    limits: RateLimits | None = None
    limits_event: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        return self.word * self.events


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for generation, as far as an answer may depend on it.

    Attributes:
        number: 0 for the first request for generation that this upstream has seen, then 1, 2, ...
        api: `chat_completions`, `responses`, ... as in the ledger.
        authorization: what the caller presented, masked to `...` and its last 4 characters.
    """

    number: int
    api: str
    model: str
    stream: bool
    authorization: str | None


class Play(Protocol):
    def answer(self, asked: Asked) -> Answer:
        """The answer to one request; the same for the same request."""


@dataclass(frozen=True, slots=True)
class Script:
    """Answers by number of request: from the front again when all are used, or the last one for ever.

    Raises: ScriptError without an answer.
    """

    answers: tuple[Answer, ...] = (Answer(),)
    then: Literal["repeat", "last"] = "repeat"

    def __post_init__(self) -> None:
        if not self.answers:
            raise ScriptError("a script needs at least one answer")

    def answer(self, asked: Asked) -> Answer:
        count = len(self.answers)
        return self.answers[asked.number % count if self.then == "repeat" else min(asked.number, count - 1)]


def script(*answers: Answer) -> Script:
    """A script of these answers, taken in turn."""
    return Script(answers)

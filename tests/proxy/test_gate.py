"""What a gate lets pass, byte for byte, however the bytes are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import RequestEvent
from proxy import websocket
from proxy.errors import Refused
from proxy.gate import Gate
from proxy.meter import Caller, Meter
from proxy.routes import Route
from proxy.routing.marks import Failure
from proxy.terms import Terms
from proxy.turns import Turns

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9

PAUSED = Refused(503, "no_account_paused", "this account takes no turn now (paused)")
CREATE = b'{"type":"response.create","model":"gpt-5.4","input":"' + "naïve ".encode() * 30 + b'"}'
OTHER = b'{"type":"response.processed","response_id":"resp_1"}'
DELTA = b'{"type":"response.output_text.delta","delta":"a"}'
COMPLETED = b'{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":1}}}'


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    """A frame; a masked one as a client sends it."""
    size, mask = len(payload), b"\x01\x20\xff\x7e" if masked else b""
    short = size if size < 126 else 126 if size < 65_536 else 127
    length = b"" if short < 126 else size.to_bytes(2 if short == 126 else 8, "big")
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload
    return bytes((fin << 7 | opcode, masked << 7 | short)) + length + mask + body


def message(payload: bytes, places: Iterable[int] = (), opcode: int = TEXT) -> list[bytes]:
    """A client's message, in frames that end at these places."""
    ends = [0, *sorted(place for place in places if place <= len(payload)), len(payload)]
    parts = [payload[a:b] for a, b in pairwise(ends)]
    return [
        frame(CONTINUATION if number else opcode, part, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]


def said(payload: bytes) -> bytes:
    """A message of the provider."""
    return frame(TEXT, payload, masked=False)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Bytes as they may come off a socket."""
    ends = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(ends) if a < b]


class Connection:
    """A gate, what stands against turns, and what came of it all."""

    def __init__(self, against: Refused | None = None) -> None:
        self.against = against
        self.looks = 0
        self.refused: list[Refused] = []
        self.told: list[Failure | None] = []
        self.events: list[RequestEvent] = []
        terms = Terms(self._standing, self.refused.append, lambda began, failure: self.told.append(failure))
        self.turns = Turns(self._meter, terms.turned)
        self.gate = Gate(self.turns, terms)

    def asks(self, *frames: bytes, places: Iterable[int] = ()) -> bytes:
        """What passes of the client's bytes."""
        return b"".join(self.gate.from_client(part) for part in cut(b"".join(frames), places))

    def answers(self, *frames: bytes, places: Iterable[int] = ()) -> bytes:
        """What passes of the provider's bytes."""
        return b"".join(self.gate.from_upstream(part) for part in cut(b"".join(frames), places))

    def last_words(self) -> bytes | None:
        """What the client is sent at last; None while the connection goes on."""
        return asyncio.run(self.gate.parting()) if self.gate.over else None

    def _standing(self) -> Refused | None:
        self.looks += 1
        return self.against

    def _meter(self, start: float) -> Meter:
        caller = Caller("GET", Route("responses", "/v1/responses", True), "team", "req", None, None)
        return Meter(caller, self.events.append, start, lambda samples: None, "anna")


GOODBYE = frame(CLOSE, (1013).to_bytes(2, "big") + f"{PAUSED.code}: {PAUSED}".encode(), masked=False)

Sent = tuple[bytes, list[int], bool]
messages = st.lists(
    st.tuples(
        st.sampled_from([CREATE, OTHER, b"{", b"", b"x" * 70_000]),
        st.lists(st.integers(0, 60), max_size=3),
        st.booleans(),
    ),
    max_size=5,
)
places = st.lists(st.integers(0, 2**31), max_size=40)


def interleaved(frames: Sequence[bytes], *, pinged: bool) -> tuple[list[bytes], list[bytes]]:
    """A message's frames with pings in between them, and these pings."""
    pings = [frame(PING, b"%d" % n) for n in range(len(frames) - 1)] if pinged else []
    mixed = [part for pair in zip(frames, [*pings, b""], strict=False) for part in pair] if pinged else frames
    return list(mixed), pings


@given(messages, places)
def test_every_byte_passes_while_nothing_stands_against_turns(sent: list[Sent], places: list[int]) -> None:
    connection = Connection()
    frames = [
        part
        for payload, ends, pinged in sent
        for part in interleaved(message(payload, ends), pinged=pinged)[0]
    ]
    assert connection.asks(*frames, places=places) == b"".join(frames)
    assert connection.looks == len(sent), "once for each message"
    assert connection.last_words() is None


@given(messages, places)
def test_only_turns_are_left_out_while_something_does(sent: list[Sent], places: list[int]) -> None:
    connection = Connection(PAUSED)
    frames, wanted = [], []
    for payload, ends, pinged in sent:
        own = message(payload, ends)
        mixed, pings = interleaved(own, pinged=pinged)
        frames += mixed
        wanted += [*pings, *([] if payload == CREATE else own)]
    assert connection.asks(*frames, places=places) == b"".join(wanted)
    turns = sum(payload == CREATE for payload, _, _ in sent)
    assert connection.refused == [PAUSED] * turns
    assert [(e.end_reason, e.model, e.account_id) for e in connection.events] == [
        ("refused", "gpt-5.4", "anna")
    ] * turns
    assert connection.last_words() == (GOODBYE if turns else None)


@given(places, places, st.booleans())
def test_turns_that_run_are_answered_to_their_end(
    asked: list[int], answered: list[int], pinged: bool
) -> None:
    connection = Connection()
    ping = frame(PING, b"", masked=False) if pinged else b""
    first = connection.asks(*message(CREATE), *message(CREATE))
    connection.against = PAUSED
    assert connection.asks(*message(CREATE), frame(PING, b""), places=asked) == frame(PING, b"")
    assert first and connection.last_words() is None
    assert connection.answers(said(DELTA), said(COMPLETED), said(DELTA)) != b""
    assert connection.last_words() is None
    rest = (said(DELTA), ping, said(COMPLETED))
    assert connection.answers(*rest, said(DELTA), places=answered) == b"".join(rest)
    assert connection.last_words() == GOODBYE
    assert connection.told == [None, None]
    assert connection.answers(said(DELTA)) == b""
    close = frame(CLOSE, b"\x03\xf5")
    assert connection.asks(close) == close, "the provider hears that it is over"


@given(st.integers(1, len(said(DELTA)) - 1))
def test_the_end_comes_between_two_frames(place: int) -> None:
    connection = Connection(PAUSED)
    delta = said(DELTA)
    assert connection.answers(delta[:place]) == delta[:place]
    assert connection.asks(*message(CREATE)) == b""
    assert connection.last_words() is None
    assert connection.answers(delta[place:] + delta) == delta[place:]
    assert connection.last_words() == GOODBYE


def test_what_began_well_goes_on_and_what_did_not_is_refused() -> None:
    connection = Connection()
    begun, end = message(CREATE, [20])
    assert connection.asks(begun) == begun
    connection.against = PAUSED
    assert connection.asks(end) == end
    assert connection.turns.running
    begun, end = message(CREATE, [20])
    assert connection.asks(begun) == b""
    connection.against = None
    assert connection.asks(end) == b""
    assert connection.refused == [PAUSED]
    assert connection.asks(*message(CREATE)) == b"", "one refusal ends the connection"
    assert connection.refused == [PAUSED] * 2


def test_a_message_too_long_to_be_read_is_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MOST_KEPT", 1_000)
    long = message(b" " * 2_000 + CREATE, range(0, 2_000, 100))
    connection = Connection()
    assert connection.asks(*long) == b"".join(long)
    connection.answers(said(COMPLETED))
    assert [event.usage.input_tokens for event in connection.events] == [5]
    connection.against = PAUSED
    assert connection.asks(*long) == b""
    assert connection.refused == [PAUSED]


def test_what_cannot_be_read_does_not_pass() -> None:
    for broken in (
        frame(TEXT, CREATE, masked=False),
        b"\xc1" + frame(TEXT, CREATE)[1:],  # as if it were compressed
        frame(CONTINUATION, CREATE),
        frame(TEXT, CREATE, fin=False) + frame(TEXT, CREATE),
    ):
        connection = Connection()
        passed = connection.asks(frame(PING, b""), broken, *message(CREATE))
        assert passed.startswith(frame(PING, b""))
        assert not connection.turns.running
        assert (connection.last_words() or b"")[2:4] == (1002).to_bytes(2, "big")


def test_a_provider_that_cannot_be_read_is_passed_on_and_holds_up_no_end() -> None:
    connection = Connection()
    connection.asks(*message(CREATE))
    assert connection.answers(b"\xff\xff garbage") == b"\xff\xff garbage"
    connection.against = PAUSED
    connection.asks(*message(CREATE))
    assert connection.last_words() == GOODBYE

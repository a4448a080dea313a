"""What a gate lets pass, byte for byte, however the bytes are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import RequestEvent
from proxy.errors import BudgetReserved, Refused
from proxy.http.routes import Route
from proxy.metering.event import Caller
from proxy.metering.meter import Meter
from proxy.routing.failure import Failure, Verdict, classify
from proxy.websocket import gate
from proxy.websocket import handler as websocket
from proxy.websocket.gate import Gate, Leaving, Terms, _against
from proxy.websocket.turns import Lost, Turns

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9

PAUSED = Refused(503, "no_account_paused", "this account is not available now (paused)")
CREATE = b'{"type":"response.create","model":"gpt-5.4","input":"' + "naïve ".encode() * 30 + b'"}'
OTHER = b'{"type":"response.processed","response_id":"resp_1"}'
DELTA = b'{"type":"response.output_text.delta","delta":"a"}'
COMPLETED = b'{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":1}}}'
FAILED = b'{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"No more."}}'
AT_FAULT = b'{"type":"error","status":400,"error":{"code":"invalid_prompt"}}'
INFORMED = b'{"type":"codex.rate_limits","rate_limits":{}}'
LEFT = Refused(429, "no_account_quota_exceeded", "this account is not available now; another one is free")


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
    """A gate, what stands against turns, and what came of it all.

    Attributes:
        another: there is another account for turns that this one fails.
    """

    def __init__(self, against: Refused | None = None, *, another: bool = False) -> None:
        self.against = against
        self.another = another
        self.lost: list[Lost] = []
        self.settled = 0
        self.looks = 0
        self.refused: list[Refused] = []
        self.told: list[Failure | None] = []
        self.events: list[RequestEvent] = []
        leaving = Leaving(self._leave, self._settle)
        terms = Terms(self._standing, self.refused.append, self._turned, leaving)
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

    def _turned(self, began: float, failure: Failure | None) -> Verdict | None:
        self.told.append(failure)
        return classify(failure, began) if failure else None

    def _leave(self, lost: Lost) -> Refused | None:
        self.lost.append(lost)
        return LEFT if self.another else None

    async def _settle(self) -> None:
        self.settled += 1

    def _meter(self, start: float, message: bytes | None) -> Meter:
        caller = Caller("GET", Route("responses", "/v1/responses", True), "team", "req", None, None)
        return Meter(caller, self.events.append, start, lambda samples: None, "anna")


def goodbye(why: Refused) -> bytes:
    """The frame that ends a connection."""
    return frame(CLOSE, (1013).to_bytes(2, "big") + f"{why.code}: {why}".encode(), masked=False)


GOODBYE = goodbye(PAUSED)

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
        wanted += [*pings, *(own if payload == OTHER else [])]
    assert connection.asks(*frames, places=places) == b"".join(wanted)
    turns = [payload for payload, _, _ in sent if payload != OTHER]  # what cannot be read may be one
    assert connection.refused == [PAUSED] * len(turns)
    assert [(e.end_reason, e.model, e.account_id) for e in connection.events] == [
        ("refused", "gpt-5.4" if payload == CREATE else None, "anna") for payload in turns
    ]
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
    begun = connection.answers(delta[:place])
    assert begun == (delta[:place] if place > 1 else b""), "a byte tells nothing of a frame"
    assert connection.asks(*message(CREATE)) == b""
    assert connection.last_words() is None
    assert begun + connection.answers(delta[place:] + delta) == delta
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
    monkeypatch.setattr(websocket, "MAX_KEPT", 1_000)
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


def answer(payload: bytes, ends: Iterable[int], *, pinged: bool) -> tuple[list[bytes], list[bytes]]:
    """A provider's message in frames that end at these places, pings in between, and these pings."""
    marks = [0, *sorted(end for end in ends if end <= len(payload)), len(payload)]
    parts = [payload[a:b] for a, b in pairwise(marks)]
    frames = [
        frame(CONTINUATION if number else TEXT, part, fin=number == len(parts) - 1, masked=False)
        for number, part in enumerate(parts)
    ]
    pings = [frame(PING, b"%d" % n, masked=False) for n in range(len(parts) - 1)] if pinged else []
    return [part for pair in zip_longest(frames, pings, fillvalue=b"") for part in pair], pings


fragments = st.lists(st.integers(0, 60), max_size=3)


@given(fragments, st.booleans(), places, st.lists(st.just(INFORMED), max_size=2))
def test_an_error_that_begins_the_answer_is_kept_from_the_client(
    ends: list[int], pinged: bool, places: list[int], before: list[bytes]
) -> None:
    connection = Connection(another=True)
    connection.asks(*message(CREATE))
    frames, pings = answer(FAILED, ends, pinged=pinged)
    told = [said(event) for event in before]
    passed = connection.answers(*told, *frames, said(DELTA), places=places)
    assert passed == b"".join((*told, *pings))
    assert connection.last_words() == goodbye(LEFT)
    assert connection.settled == 1
    assert [failure and failure.code for failure in connection.told] == ["usage_limit_reached"]
    assert [(e.status, e.end_reason, e.error_code) for e in connection.events] == [
        ("error", "done", "usage_limit_reached")
    ]
    assert connection.asks(*message(CREATE)) == b"", "it has ended"
    assert connection.refused == [LEFT]


said_back = st.sampled_from([FAILED, AT_FAULT, INFORMED, DELTA, COMPLETED, b"{", b"[]", b'{"type":[]}', b""])


@given(st.lists(st.tuples(said_back, fragments), max_size=6), st.integers(0, 3), places, st.booleans())
def test_every_byte_of_the_provider_passes_while_there_is_no_other_account(
    sent: list[tuple[bytes, list[int]]], turns: int, places: list[int], another: bool
) -> None:
    connection = Connection(another=another and FAILED not in [payload for payload, _ in sent])
    connection.asks(*message(CREATE) * turns)
    frames = [part for payload, ends in sent for part in answer(payload, ends, pinged=False)[0]]
    assert connection.answers(*frames, places=places) == b"".join(frames)
    assert connection.last_words() is None
    assert connection.settled == 0


@pytest.mark.parametrize(
    "begun", [DELTA, b'{"type":"response.created","response":{}}', b"{}", b"{", b'{"type":"unheard.of"}']
)
def test_an_answer_that_has_begun_fails_before_the_client(begun: bytes) -> None:
    connection = Connection(another=True)
    connection.asks(*message(CREATE))
    assert connection.answers(said(begun), said(FAILED)) == said(begun) + said(FAILED)
    assert connection.lost == []
    assert connection.last_words() is None


def test_a_message_too_long_to_be_read_may_begin_any_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_KEPT", 1_000)
    connection = Connection(another=True)
    for stream in (b"a", b"b"):
        connection.asks(*message(of(stream, CREATE)))
    rest = said(b" " * 2_000 + of(b"b", DELTA)) + said(of(b"b", FAILED))
    assert connection.answers(rest) == rest
    assert connection.lost == []


def test_an_error_of_the_request_is_the_clients() -> None:
    connection = Connection(another=True)
    connection.asks(*message(CREATE))
    assert connection.answers(said(AT_FAULT)) == said(AT_FAULT)
    assert connection.lost == []


def test_an_error_that_answers_nothing_is_the_clients() -> None:
    connection = Connection(another=True)
    assert connection.answers(said(FAILED)) == said(FAILED)
    assert connection.lost == []


def test_a_long_message_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MAX_HELD", 1_000)
    long = said(b" " * 2_000 + FAILED)
    connection = Connection(another=True)
    connection.asks(*message(CREATE))
    assert connection.answers(long[:900]) == b""
    assert connection.answers(long[900:1_100]) == long[:1_100]
    assert connection.answers(long[1_100:]) == long[1_100:]
    assert connection.last_words() is None


@given(st.integers(1, len(said(FAILED)) - 1))
def test_what_is_held_passes_when_the_provider_cannot_be_read_any_more(place: int) -> None:
    connection = Connection(another=True)
    connection.asks(*message(CREATE))
    garbage = frame(CONTINUATION, b"", masked=False)
    first = frame(TEXT, FAILED[:9], fin=False, masked=False) + frame(TEXT, b"", masked=False)
    assert connection.answers(*(first, garbage), places=[place]) == first + garbage
    assert connection.answers(b"more") == b"more"
    assert connection.last_words() is None


def of(stream: bytes, message: bytes) -> bytes:
    """A message of one stream."""
    return message.replace(b"{", b'{"stream_id":"%s",' % stream, 1)


def test_turns_of_other_streams_come_to_their_end_before_one_is_asked_for_again() -> None:
    connection = Connection(another=True)
    for stream in (b"a", b"b", b"c"):
        connection.asks(*message(of(stream, CREATE)))
    first = said(of(b"a", DELTA))
    assert connection.answers(first, said(of(b"b", FAILED))) == first
    assert connection.last_words() is None
    assert connection.asks(*message(of(b"d", CREATE)), frame(PING, b"")) == frame(PING, b"")
    assert connection.refused == [LEFT]
    rest = said(of(b"a", DELTA)) + said(of(b"a", COMPLETED))
    assert connection.answers(rest, said(of(b"c", FAILED)), said(DELTA)) == rest
    assert connection.last_words() == goodbye(LEFT)
    assert [(e.end_reason, e.error_code, e.usage.input_tokens) for e in connection.events] == [
        ("done", "usage_limit_reached", None),
        ("refused", LEFT.code, None),
        ("done", None, 5),
        ("done", "usage_limit_reached", None),
    ]


@pytest.mark.parametrize(
    ("asked", "failed"),
    [
        ((CREATE, CREATE), FAILED),
        ((of(b"a", CREATE), of(b"a", CREATE)), of(b"a", FAILED)),
        ((of(b"a", CREATE), of(b"b", CREATE)), FAILED),
        ((CREATE, of(b"b", CREATE)), of(b"c", FAILED)),
    ],
)
def test_an_error_that_another_turns_answer_could_be_taken_for_is_the_clients(
    asked: tuple[bytes, bytes], failed: bytes
) -> None:
    connection = Connection(another=True)
    for create in asked:
        connection.asks(*message(create))
    assert connection.answers(said(failed)) == said(failed)
    assert connection.lost == []
    assert connection.turns.running


@pytest.mark.parametrize(
    ("against", "moves"), [(None, False), (BudgetReserved("team", "daily", "5"), False), (PAUSED, True)]
)
def test_a_caller_that_may_spend_no_more_is_told_how_its_turn_failed(
    against: Refused | None, moves: bool
) -> None:
    failure = Failure(429, "usage_limit_reached")
    verdict = classify(failure, 0.0)
    assert verdict is not None
    found = _against(lambda: against, lambda lost: True, Lost(0.0, failure, verdict))
    assert (found is not None) is moves

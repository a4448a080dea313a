"""Server-sent events: the data of each event of a block, whatever its line endings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.framing import events


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"", []),
        (b"data: 1\n\n", [b"1"]),
        (b"data:1\n\n", [b"1"]),
        (b"data:  1\n\n", [b" 1"]),
        (b"data: 1\n\ndata: 2", [b"1", b"2"]),
        (b"data: 1\ndata: 2\n\n", [b"1\n2"]),
        (b"event: x\nid: 7\nretry: 5\ndata: 1\n\n", [b"1"]),
        (b": ping\n\ndata: 1\n: inside\n\n", [b"1"]),
        (b"database: 1\n\n", []),
        (b" data: 1\n\n", []),
        (b"data:\n\n", [b""]),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
        (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
        (b"data: 1\r\ndata: 2\r\n\r\n", [b"1\n2"]),
        (b"data: 1\n\r\ndata: 2\r\n\n", [b"1", b"2"]),
        (b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: \xe4\xbd\xa0\n\n", [b"\xe4\xbd\xa0"]),
    ],
)
def test_events(block: bytes, data: list[bytes]) -> None:
    assert list(events(block)) == data


LINES = st.lists(st.binary(max_size=12).filter(lambda b: not set(b) & set(b"\r\n")), min_size=1, max_size=3)


@given(st.lists(LINES, max_size=5), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_what_is_framed_is_read_back(written: list[list[bytes]], end: bytes) -> None:
    block = b"".join(b"".join(b"data: " + line + end for line in lines) + end for lines in written)
    assert list(events(block)) == [b"\n".join(lines) for lines in written]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_complaint(block: bytes) -> None:
    assert all(isinstance(data, bytes) for data in events(block))

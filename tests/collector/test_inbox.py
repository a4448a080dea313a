"""The inbox: what is in it stays, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import InboxError
from collector.inbox import DECODED, PENDING, REPEATED, UNDECODABLE, Inbox, Receipt, Transport, settle


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    opened = Inbox(tmp_path / "inbox.db")
    yield opened
    opened.close()


def receipt(raw: bytes, transport: Transport = "subscribe", gateway: str = "cpa") -> Receipt:
    return Receipt(gateway, "usage", transport, 1_000.25, raw)


def test_what_was_received_is_there_after_opening_again(inbox: Inbox, tmp_path: Path) -> None:
    assert inbox.append([receipt(b'{"a":1}'), receipt(b"no json", "http")]) == 2
    inbox.close()
    again = Inbox(tmp_path / "inbox.db")
    found = again.pending(10)
    assert [(i.raw, i.transport, i.received_at) for i in found] == [
        (b'{"a":1}', "subscribe", 1_000.25),
        (b"no json", "http", 1_000.25),
    ]
    assert [i.seq for i in found] == [1, 2]
    again.close()


def test_the_same_by_two_ways_is_one_event(inbox: Inbox) -> None:
    assert inbox.append([receipt(b'{"a":1}', "resp")]) == 1
    assert inbox.append([receipt(b'{"a":1}', "subscribe"), receipt(b'{"a":2}', "subscribe")]) == 1
    assert [i.raw for i in inbox.pending(10)] == [b'{"a":1}', b'{"a":2}']
    assert inbox.count(REPEATED) == {"cpa": 1}


def test_the_same_by_one_way_twice_is_two_events(inbox: Inbox) -> None:
    """Two failures of the same request within a moment may say exactly the same."""
    assert inbox.append([receipt(b'{"a":1}'), receipt(b'{"a":1}')]) == 2
    assert inbox.append([receipt(b'{"a":1}', "resp"), receipt(b'{"a":1}', "resp")]) == 0
    assert inbox.append([receipt(b'{"a":1}', "resp")]) == 1
    assert [i.twin for i in inbox.pending(10)] == [0, 1, 2]


def test_two_gateways_may_say_the_same(inbox: Inbox) -> None:
    assert inbox.append([receipt(b'{"a":1}'), receipt(b'{"a":1}', "resp", "other")]) == 2


def test_undecodable_items_stay_and_can_be_tried_again(inbox: Inbox) -> None:
    inbox.append([receipt(b"1"), receipt(b"2"), receipt(b"3")])
    with inbox.transaction() as connection:
        settle(connection, [1, 3], [(2, "no JSON object")])
    assert inbox.problems(10) == [(2, "cpa", "no JSON object")]
    assert inbox.prune(2_000.0) == 2
    assert inbox.count(DECODED) == {}
    assert inbox.again() == 1
    assert [i.raw for i in inbox.pending(10)] == [b"2"]
    assert inbox.count(UNDECODABLE) == {}


def test_a_number_is_never_used_twice(inbox: Inbox) -> None:
    inbox.append([receipt(b"1")])
    with inbox.transaction() as connection:
        settle(connection, [1], [])
    inbox.prune(2_000.0)
    inbox.append([receipt(b"2")])
    assert [i.seq for i in inbox.pending(10)] == [2]


def test_all_of_a_transaction_or_nothing(inbox: Inbox) -> None:
    def fail(_connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(InboxError, match="disk full"):
        inbox.append([receipt(b"1")], fail)
    assert inbox.count(PENDING) == {}


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE request_logs (id INTEGER)")
    connection.close()
    with pytest.raises(InboxError, match="holds something else"):
        Inbox(path)
    (tmp_path / "text").write_text("no database, but a text that is long enough to be looked at" * 20)
    with pytest.raises(InboxError, match="cannot open the inbox"):
        Inbox(tmp_path / "text")
    with pytest.raises(InboxError, match="cannot open the inbox"):
        Inbox(tmp_path / "no" / "folder" / "inbox.db")


def test_only_its_owner_reads_the_file(inbox: Inbox) -> None:
    assert inbox.path.stat().st_mode & 0o077 == 0


def test_each_file_has_a_name_of_its_own(inbox: Inbox, tmp_path: Path) -> None:
    other = Inbox(tmp_path / "other.db")
    assert inbox.identity != other.identity
    other.close()
    again = Inbox(tmp_path / "other.db")
    assert again.identity == other.identity
    again.close()

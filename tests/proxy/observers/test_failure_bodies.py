"""What providers answer to requests that fail is kept where the configuration says so, in a table of its
own."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.__main__ import main
from ledger.cli.failure import printable
from ledger.privacy import MAX_BODY
from ledger.requests.failure_bodies import of_request, prune
from ledger.store import sqlite_url, writer

if TYPE_CHECKING:
    from tests.proxy.conftest import Scene, Wire

KEPT = {"failure_bodies": True}
KEY = "sk-proj-Canary0123456789abcdef"
BODY = json.dumps(
    {
        "error": {
            "message": f'The word "hello there" of key {KEY} is too much.',
            "code": "rate_limit_exceeded",
            "access_token": "a word that is a secret",
        }
    }
)
ASKING = (b'{"model":"gpt-5.4"}', f"Authorization: Bearer {KEY}", "x-request-id: mine")


def kept(scene: Scene, name: str = "mine") -> list[str]:
    engine = writer(sqlite_url(scene.database))
    try:
        with engine.begin() as connection:
            return [one.body for one in of_request(connection, name) if one.body]
    finally:
        engine.dispose()


async def test_nothing_is_kept_by_itself(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(BODY.encode(), status="429 No"))
    await scene.ask(wire.request(*ASKING))
    assert (await scene.row())["http_status"] == 429
    assert kept(scene) == []


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_an_answer_is_kept_as_it_is_but_for_keys(scene: Scene, wire: type[Wire], encoding: str) -> None:
    body = gzip.compress(BODY.encode()) if encoding else BODY.encode()
    headers = ("Content-Type: application/json", *((f"Content-Encoding: {encoding}",) if encoding else ()))
    await scene.begin(wire.answer(body, *headers, status="429 No"), storage=KEPT)
    answer = await scene.ask(wire.request(*ASKING))
    assert answer.body == body
    row = await scene.row()
    (found,) = kept(scene)
    assert 'The word \\"hello there\\" of key' in found
    assert "rate_limit_exceeded" in found
    assert "Canary" not in found and "is a secret" not in found
    assert "hello there" not in json.dumps([row, *scene.proxy.samples()], default=str)
    assert "hello there" not in scene.proxy.log.getvalue()


async def test_a_long_answer_is_cut(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"<html>" + b"x " * 500_000, status="502 No"), storage=KEPT)
    await scene.ask(wire.request(*ASKING))
    await scene.row()
    (found,) = kept(scene)
    assert found.startswith("<html>x x") and MAX_BODY - 2 <= len(found) <= MAX_BODY


async def test_of_a_stream_the_error_alone_is_kept(scene: Scene, wire: type[Wire]) -> None:
    error = {"code": "server_error", "message": "It broke."}
    stream = wire.events(
        {"type": "response.created", "response": {"error": None, "instructions": "a private prompt"}},
        {"type": "response.output_text.delta", "delta": "a private answer"},
        {"type": "response.failed", "response": {"status": "failed", "error": error, "output": "private"}},
    )
    await scene.begin(wire.stream() + wire.chunk(stream) + wire.end, storage=KEPT)
    await scene.ask(wire.request(*ASKING))
    assert (await scene.row())["error_code"] == "server_error"
    assert [json.loads(found) for found in kept(scene)] == [{"error": error}]


async def test_a_good_answer_is_never_kept(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b'{"output": "private", "error": null}'), storage=KEPT)
    await scene.ask(wire.request(*ASKING))
    await scene.row()
    assert kept(scene) == []


async def test_it_is_printed_on_this_machine_and_forgotten_in_time(
    scene: Scene, wire: type[Wire], capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(name: str) -> tuple[int, str]:
        code = main(["failure", name], {"CODEX_USAGE_DB_PATH": str(scene.database)})
        said = capsys.readouterr()
        return code, said.out + said.err

    await scene.begin(wire.answer(BODY.encode(), status="429 No"), storage=KEPT)
    await scene.ask(wire.request(*ASKING))
    id = str((await scene.row())["id"])
    for name in (id, "mine"):
        code, said = printed(name)
        assert code == 0 and "HTTP 429" in said and "hello there" in said
    code, said = printed("not-mine")
    assert code == 2 and "no such request" in said
    engine = writer(sqlite_url(scene.database))
    with engine.begin() as connection:
        assert prune(connection, datetime.now(UTC) - timedelta(days=7)) == 0
        assert prune(connection, datetime.now(UTC) + timedelta(seconds=1)) == 1
    engine.dispose()
    code, said = printed(id)
    assert code == 2 and "storage.failure_bodies is false" in said


def test_a_terminal_obeys_nothing() -> None:
    assert printable("\x1b[31mred\u202e\tx\n") == "\\x1b[31mred\\u202e\tx\n"

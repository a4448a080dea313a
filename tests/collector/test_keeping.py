"""What was received stays as long as is asked for, and can be decoded again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from collector.__main__ import main
from collector.decoding import fields
from collector.inbox import DECODED, PENDING, UNDECODABLE, Inbox
from tests.collector.conftest import Scene, until
from tests.support.gateway.server import Gateway


async def test_decoded_items_are_forgotten_after_their_days(
    scene: Scene, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.decoder.PRUNE_SECONDS", 0.05)
    async with scene.collecting(gateway) as service:
        scene.publish(gateway, 5)
        gateway.queue.publish(b'{"no":"record"}')
        await scene.all_stored()
        await until(lambda: service.inbox.count(UNDECODABLE))
        assert service.inbox.count(DECODED) == {"cpa": 5}  # a week is the default
    async with scene.collecting(gateway, keep_raw_days=0) as service:
        await until(lambda: not service.inbox.count(DECODED))
        assert service.inbox.count(UNDECODABLE) == {"cpa": 1}  # these stay for a decoder that can
        scene.publish(gateway, 2)
        await scene.all_stored()
    assert len(scene.rows()) == 7


async def test_undecodable_items_are_listed_and_decoded_again(
    scene: Scene, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after an update that has learnt a shape."""
    strange = json.dumps(scene.record(request_id="from-the-future") | {"model": ["gpt", "9"]}).encode()
    async with scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.connected)
        gateway.queue.publish(strange)
        await until(lambda: service.inbox.count(UNDECODABLE))
    monkeypatch.chdir(scene.folder)
    scene.folder.joinpath("codex-usage.toml").write_text('[collector]\ninbox_path = "inbox.db"\n')
    assert main(["replay"]) == 0
    listed, done = capsys.readouterr().out.splitlines()
    assert listed.endswith("cpa  no usage record: timestamp, model and failed are needed")
    assert done.startswith("1 undecodable items are decoded again")
    inbox = Inbox(scene.inbox_path)
    assert inbox.count(PENDING) == {"cpa": 1}
    inbox.close()

    known = fields.text

    def text(document: Mapping[str, Any], name: str) -> str | None:
        return "gpt-9" if document.get(name) == ["gpt", "9"] else known(document, name)

    monkeypatch.setattr("collector.decoding.record.text", text)
    async with scene.collecting(gateway):
        await until(lambda: scene.stored() == ["from-the-future"])
    assert scene.rows()[0]["model"] == "gpt-9"


async def test_what_the_ledger_refuses_is_kept_apart_and_all_behind_it_goes_on(
    scene: Scene, gateway: Gateway
) -> None:
    async with scene.collecting(gateway) as service:
        scene.publish(gateway, 3)
        await scene.all_stored()
        with closing(sqlite3.connect(scene.ledger_path)) as ledger:
            ledger.execute(
                "CREATE TRIGGER no BEFORE INSERT ON request_rows WHEN new.request_id = 'bad'"
                " BEGIN SELECT raise(ABORT, 'sk-live-secret'); END"
            )
        gateway.queue.publish(json.dumps(scene.record(request_id="bad")).encode())
        scene.publish(gateway, 4)
        await until(lambda: service.inbox.count(UNDECODABLE) == {"cpa": 1})
        await until(lambda: len(scene.rows()) == 7)
    with closing(sqlite3.connect(scene.inbox_path)) as inbox:
        told = [line for line in inbox.iterdump() if "the ledger refuses it" in line]
    assert len(told) == 1
    assert "the ledger refuses it: IntegrityError" in told[0]
    assert "sk-live" not in told[0]

"""Proxy keys: who comes in."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from proxy.relay.access import Key, KeyRing


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


TEAM = Key("team", digest("k"), Decimal(5), Decimal(20))


class TestKeys:
    def test_a_key_is_known_by_its_digest(self) -> None:
        ring = KeyRing([TEAM], required=True)
        assert ring.find("k") is TEAM
        assert [ring.find(wrong) for wrong in ("K", "", None, digest("k"), "\udc80")] == [None] * 5

    def test_only_keys_with_a_limit_are_watched(self) -> None:
        ring = KeyRing([TEAM, Key("lab", digest("l"))], required=False)
        assert ring.budgeted == (TEAM,)

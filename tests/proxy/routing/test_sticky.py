"""Conversations: named by digests, bounded, and shared where they are to be."""

from __future__ import annotations

import pytest

from proxy.routing.affinity import LOOK_AGAIN_SECONDS, Memory, Shared, sticky_key

NOW = 1_800_000_000.0


class TestKey:
    def test_the_cache_key_goes_before_the_session(self) -> None:
        assert sticky_key("a", "b") == sticky_key("a", None) != sticky_key(None, "a")

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_a_request_of_no_conversation_has_none(self, nothing: str | None) -> None:
        assert sticky_key(nothing, nothing) is None

    @pytest.mark.parametrize("text", ["tell me a secret", "x" * 10**6, "\udc80", "ü\0"])
    def test_what_the_caller_wrote_is_not_kept(self, text: str) -> None:
        key = sticky_key(text, None)
        assert key is not None
        assert len(key) == 64
        assert text not in key


class TestMemory:
    async def test_a_conversation_is_remembered_for_its_time(self) -> None:
        memory = Memory(10.0)
        memory.keep("k", "anna", NOW)
        assert await memory.find("k", NOW + 9.9) == "anna"
        assert await memory.find("k", NOW + 10) is None
        assert await memory.find("other", NOW) is None

    async def test_the_one_that_was_quiet_longest_is_forgotten_first(self) -> None:
        memory = Memory(10.0, most=2)
        for key in ("a", "b", "a", "c"):
            memory.keep(key, "anna", NOW)
        assert [await memory.find(key, NOW) for key in ("a", "b", "c")] == ["anna", None, "anna"]


class TestShared:
    async def test_the_ledger_is_asked_only_for_what_is_not_near(self) -> None:
        asked: list[str] = []
        ledger = {"k": "ben"}

        async def look_up(key: str) -> str | None:
            asked.append(key)
            return ledger.get(key)

        shared = Shared(look_up, lambda key, account, at: ledger.update({key: account}))
        assert await shared.find("k", NOW) == "ben"
        shared.keep("k", "anna", NOW)
        assert await shared.find("k", NOW) == "anna"
        assert asked == ["k"]
        assert ledger == {"k": "anna"}
        ledger["k"] = "chloe"  # another process moved it
        assert await shared.find("k", NOW + LOOK_AGAIN_SECONDS) == "chloe"

"""Credentials never stand in the log."""

from __future__ import annotations

import pytest

from simulator.provider.log import masked, masked_headers


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        (None, None),
        ("Bearer sk-0123456789abcd", "...abcd"),
        ("short", "..."),
        ("12345678", "..."),
        ("", "..."),
    ],
)
def test_masked(credential: str | None, shown: str | None) -> None:
    assert masked(credential) == shown


def test_every_header_that_carries_a_credential_is_masked() -> None:
    secret = "sk-0123456789-secret-abcd"
    names = ("Authorization", "X-API-Key", "api-key")
    shown = masked_headers([*((name, secret) for name in names), ("Accept", "*/*")])
    assert shown == (*((name, "...abcd") for name in names), ("Accept", "*/*"))

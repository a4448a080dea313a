"""What a request's body says about itself."""

from __future__ import annotations

import gzip

import pytest

from proxy.metering.asked import NOTHING_ASKED, read_body


@pytest.mark.parametrize(
    ("body", "encoding", "model"),
    [
        (b'{"model": "gpt-5.4"}', "", "gpt-5.4"),
        (gzip.compress(b'{"model": "gpt-5.4"}', mtime=0), "gzip", "gpt-5.4"),
        (b'{"model": "gpt-5.4"}', "gzip", None),
        (b'{"model": "gpt-5.4"}', "compress", None),
        (b"model=gpt-5.4", "", None),
    ],
)
def test_what_a_body_asks_for(body: bytes, encoding: str, model: str | None) -> None:
    found = read_body(body, "", encoding)
    assert found.model == model
    assert model or found == NOTHING_ASKED

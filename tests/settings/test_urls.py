"""Base URLs: what passes can be sent to."""

from __future__ import annotations

import pytest
from yarl import URL

from settings.urls import ALLOWED, base_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.openai.com", "https://api.openai.com"),
        ("http://10.0.0.1:9/base/v1/", "http://10.0.0.1:9/base/v1"),
        ("http://[::1]:65535", "http://[::1]:65535"),
        ("https://bücher.example/ä", "https://bücher.example/ä"),
        ("http://lab_proxy:8080", "http://lab_proxy:8080"),
        ("HTTP://Host.example.", "HTTP://Host.example."),
    ],
)
def test_a_url_that_can_be_sent_to_passes(text: str, expected: str) -> None:
    assert base_url(text) == expected
    assert f"{URL(text).host}:{URL(text).port}".encode("idna")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "//h",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h?a=1",
        "http://h?",
        "http://h#x",
        "http://h#",
        "http://h:0",
        "http://h:65536",
        "http://h:eighty",
        "http://a..b",
        "http://.h",
        f"http://{'a' * 64}.example",
        f"http://{'a' * 62}",  # too long beside the port, with which it is sent
        "http://[::1",
        "http://[h]",
        "http://[127.0.0.1]",
        "http://::1",
        "http://a b",
        "http://h/a b",
        "http://h\n",
        "http://h/\u0007",
        "http://a<b",
        "http://a%zz",
        "http://h\\x",
        "http://h.\N{SNOWMAN WITHOUT SNOW}\ud800",
    ],
)
def test_a_url_that_cannot_be_sent_to_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: http://HOST") as caught:
        base_url(text)
    assert str(caught.value) == ALLOWED


@pytest.mark.parametrize("text", ["https://me:hunter2@h", "https://me@h", "https://@h"])
def test_a_url_holds_no_credentials(text: str) -> None:
    with pytest.raises(ValueError, match="without user name and password") as caught:
        base_url(text)
    assert "hunter2" not in str(caught.value)

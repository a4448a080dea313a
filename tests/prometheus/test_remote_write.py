from __future__ import annotations

from pathlib import Path

import pytest

from prometheus.config import RuleConfig
from prometheus.errors import ConfigError
from prometheus.remote_write import RemoteWrite
from prometheus.scrape import Targets, document

URL = "https://metrics.example/api/v1/write"


def test_samples_are_sent_on() -> None:
    config = RuleConfig(remote_write=RemoteWrite(URL, Path("token")))
    assert document(config, Targets("p:1", "e:2"), [])["remote_write"] == [
        {"url": URL, "authorization": {"type": "Bearer", "credentials_file": "token"}}
    ]


def test_by_default_nothing_leaves_the_machine() -> None:
    assert "remote_write" not in document(RuleConfig(), Targets("p:1", "e:2"), [])


@pytest.mark.parametrize(
    "url", ["metrics.example", "http://[", "ftp://metrics.example/", "https://me:secret@metrics.example/"]
)
def test_an_address_that_will_not_do(url: str) -> None:
    with pytest.raises(ConfigError, match="allowed: http"):
        RemoteWrite(url)

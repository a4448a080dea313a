"""The time zone that days are counted in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from settings.console import system_zone
from settings.errors import SettingsError
from settings.model import Settings


@pytest.mark.parametrize(
    ("environ", "link", "name"),
    [
        ({"TZ": "Asia/Kolkata"}, "/usr/share/zoneinfo/Europe/Berlin", "Asia/Kolkata"),
        ({"TZ": ":America/New_York"}, None, "America/New_York"),
        ({"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}, "/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ({}, "/usr/share/zoneinfo/Australia/Lord_Howe", "Australia/Lord_Howe"),
        ({}, "/somewhere/else", "UTC"),
        ({}, None, "UTC"),
    ],
)
def test_the_machine_is_asked(environ: dict[str, str], link: str | None, name: str, tmp_path: Path) -> None:
    place = tmp_path / "localtime"
    if link:
        place.symlink_to(link)
    assert system_zone(environ, place).key == name


def test_the_configuration_goes_before_the_machine(loaded: Callable[[str], Settings]) -> None:
    assert loaded('[console]\ntime_zone = "Asia/Kathmandu"').console.zone.key == "Asia/Kathmandu"
    assert loaded("").console.zone.key == system_zone().key


@pytest.mark.parametrize("name", ["Berlin", "../../etc/passwd", "", "Europe/Berlin\\u0000"])
def test_a_name_that_is_none_is_refused(loaded: Callable[[str], Settings], name: str) -> None:
    with pytest.raises(
        SettingsError, match=r"console\.time_zone.*allowed: a name like Europe/Berlin, or UTC"
    ):
        loaded(f'[console]\ntime_zone = "{name}"')

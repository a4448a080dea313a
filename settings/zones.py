"""The time zone that people read times in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

LOCALTIME = Path("/etc/localtime")
_FOLDER = "zoneinfo/"


def zone_name(text: str) -> str:
    """A time zone's name. Raises: ValueError."""
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError) as error:  # what is not found is a KeyError
        raise ValueError("allowed: a name like Europe/Berlin, or UTC") from error
    return text


def system_zone(environ: Mapping[str, str] = os.environ, localtime: Path = LOCALTIME) -> ZoneInfo:
    """The zone of this machine: of TZ, else that which /etc/localtime leads to, else UTC."""
    names = [environ.get("TZ", "").removeprefix(":")]
    if localtime.is_symlink():
        names.append(str(localtime.readlink()).partition(_FOLDER)[2])
    for name in filter(None, names):
        try:
            return ZoneInfo(zone_name(name))
        except ValueError:
            continue  # a rule instead of a name, as POSIX allows it
    return ZoneInfo("UTC")

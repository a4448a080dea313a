"""`[console]`: where the monitoring page listens, and who may come in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr

from settings.kinds import BaseUrl, Section
from settings.urls import Address, split_address

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


_HASH = re.compile(
    r"\$argon2id?\$v=19\$m=\d{1,8},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{8,100}\$[A-Za-z0-9+/]{16,200}"
)
_FIELD = re.compile(r"[A-Za-z0-9-]{1,60}")


def _password_hash(secret: SecretStr) -> SecretStr:
    if not _HASH.fullmatch(secret.get_secret_value()):
        raise ValueError("allowed: what `python -m console --hash-password` prints, never the password")
    return secret


def _header(text: str) -> str:
    if not _FIELD.fullmatch(text):
        raise ValueError("allowed: the name of a header, like X-Forwarded-User")
    return text.lower()


PasswordHash = Annotated[SecretStr, AfterValidator(_password_hash)]
Header = Annotated[str, AfterValidator(_header)]
Zone = Annotated[str, AfterValidator(zone_name)]


class Console(Section):
    listen_addr: Address = Field("127.0.0.1:8788", description="where the monitoring page listens")
    base_url: BaseUrl | None = Field(
        None,
        description="where people reach the page: alerts, dashboards and runbooks lead there; "
        "without it http:// and listen_addr",
    )
    prometheus_url: BaseUrl = Field(
        "http://127.0.0.1:9090", description="the Prometheus that the page asks whether it sees the services"
    )
    proxy_url: BaseUrl | None = Field(
        None,
        description="where the page looks for the proxy when it is asked whether all is well; without it "
        "server.listen_addr",
    )
    exporter_url: BaseUrl | None = Field(
        None, description="where it looks for the exporter; without it exporter.listen_addr"
    )
    view_password_hash: PasswordHash | None = Field(
        None, description="argon2 hash of the password with which one may look at everything"
    )
    operate_password_hash: PasswordHash | None = Field(
        None, description="argon2 hash of the password with which one may act as well"
    )
    user_header: Header | None = Field(
        None, description="header in which a reverse proxy of callers.proxies names who comes in"
    )
    operators: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="names in that header that may act; all others may look"
    )
    time_zone: Zone | None = Field(
        None, description="the zone that pages and the terminal count days in; without it this machine's"
    )
    public: bool = Field(
        False,
        description="let everybody who reaches an address beyond loopback look and act without a login, "
        "as in a container whose port is published on 127.0.0.1 alone",
    )
    session_hours: float = Field(12.0, gt=0, le=720, description="how long a login lasts")

    @property
    def zone(self) -> ZoneInfo:
        """The zone to show times in."""
        return ZoneInfo(self.time_zone) if self.time_zone else system_zone()

    @property
    def asks_for_login(self) -> bool:
        """Whether nobody comes in unknown."""
        return bool(self.view_password_hash or self.operate_password_hash or self.user_header)

    @property
    def address(self) -> str:
        """Where people reach the page, without a slash at the end."""
        if self.base_url:
            return self.base_url.rstrip("/")
        host, port = split_address(self.listen_addr)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

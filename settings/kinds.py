"""The kinds of values that keys of the configuration take, each with what is allowed."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from settings.urls import base_url


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


MAX_KEY_NAME = 40
"""Characters of a caller's name that the ledger keeps."""

_NOT_FORWARDED = frozenset(
    {"authorization", "chatgpt-account-id", "connection", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

_OTHERS = ("unknown", "short_key", "other")


def _base_path(text: str) -> str:
    if not text.startswith("/") or text == "/" or "?" in text or "#" in text:
        raise ValueError("allowed: a path that begins with / and names a folder, like /v1")
    return text.rstrip("/")


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w$.-]{1,100}", text, re.ASCII):
        raise ValueError("allowed: a name, like x-title")
    return text.lower()


def _header(text: str) -> str:
    if _name(text) in _NOT_FORWARDED:
        raise ValueError("allowed: a header that neither frames a request nor carries a credential of ours")
    return text.lower()


def _key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("allowed: a key, one word on one line")
    return SecretStr(text)


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("allowed: 64 hexadecimal digits, as `printf %s KEY | sha256sum` gives them")
    return text.lower()


def _key_name(text: str) -> str:
    masked = text in _OTHERS or "..." in text
    if not 0 < len(text) <= MAX_KEY_NAME or not text.isprintable() or text != text.strip() or masked:
        raise ValueError(
            f"allowed: a name of 1 to {MAX_KEY_NAME} printable characters, none of those that stand for "
            f"other callers' keys ({', '.join(_OTHERS)} and whatever has ... in it)"
        )
    return text


BaseUrl = Annotated[str, AfterValidator(base_url)]
BasePath = Annotated[str, AfterValidator(_base_path)]
File = Annotated[Path, Field(strict=False)]  # TOML knows text alone
Rate = Annotated[Decimal, Field(ge=0, le=10_000, strict=False)]
Budget = Annotated[Decimal, Field(gt=0, le=10_000_000, strict=False)]
Header = Annotated[str, AfterValidator(_header)]
Name = Annotated[str, AfterValidator(_name)]
Key = Annotated[SecretStr, AfterValidator(_key)]
Weight = Annotated[float, Field(gt=0, le=1_000)]
Digest = Annotated[str, AfterValidator(_digest)]
KeyName = Annotated[str, AfterValidator(_key_name)]

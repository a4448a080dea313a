"""Reading the configuration: file, then environment, then one validation."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from settings.console import Console
from settings.errors import SettingsError
from settings.pricing import Pricing
from settings.storage import Storage

if TYPE_CHECKING:  # two dozen tables, which a status line does without
    from settings.model import AccountTable, Settings

DEFAULT_FILE = Path("codex-usage.toml")

ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "CODEX_USAGE_LISTEN_ADDR": ("server", "listen_addr"),
    "CODEX_USAGE_UPSTREAM_BASE_URL": ("server", "upstream_base_url"),
    "CODEX_USAGE_LOG_FILE": ("server", "request_log_path"),
    "CODEX_USAGE_DB_PATH": ("storage", "database_path"),
    "CODEX_USAGE_DATABASE_URL": ("storage", "database_url"),
    "CODEX_USAGE_INSTANCE_ID": ("storage", "instance_id"),
    "CODEX_LB_METRICS_ACCOUNT_IDENTITY_MODE": ("metrics", "account_identity_mode"),
    "OPENAI_API_KEY": ("openai_api_key",),
}
"""Environment variable -> the key it overrides. An empty value counts as not set."""

RENAMED: Mapping[tuple[str, ...], tuple[str, ...] | None] = {
    ("routing", "most_attempts"): ("routing", "max_attempts"),
    **dict.fromkeys((("quota", "fell_percent"), ("quota", "reset_wobble_seconds"))),
}
"""Keys by the names that they had in earlier releases, which are still read, with a warning; None: what it
said is no longer a choice."""

_SECRET = (
    *("token", "openai_api_key", "credential", "sha256", "key"),
    *("view_password_hash", "operate_password_hash"),
)  # a key may stand there by mistake

_PLAIN: Mapping[str, str] = {
    **dict.fromkeys(("model_type", "dict_type"), "a table"),
    "too_short": "8 characters or more",
    "tuple_type": "an array",
    "string_type": "text in quotes",
    **dict.fromkeys(("path_type", "path_type_str"), "a path in quotes"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), "a number"),
    "finite_number": "a finite number",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "string_too_short": "{min_length} or more characters",
    "string_too_long": "at most {max_length} characters",
}
"""What is allowed, by the type of pydantic's error; its own words speak of Python instead of the file."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a command needs that asks the ledger once."""

    storage: Storage
    console: Console
    pricing: Pricing


BRIEF = ("storage", "console", "pricing")
OTHERS = frozenset(
    {"accounts", "callers", "collector", "exporter", "metering", "metrics", "notify", "openai_api_key"}
    | {"proxy_keys", "quota", "routing", "rules", "server"}
)
"""The other tables: what is in them is checked by the programs that use it."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration.

    Args:
        path: the file that --config names; None reads `codex-usage.toml` where there is one.
        environ: the process environment.
    Raises: SettingsError.
    """
    return _validated(*_document(path, environ))


def brief(path: Path | None, environ: Mapping[str, str]) -> Brief:
    """The tables of `Brief` alone, in less time; what is wrong with them is said as `load` says it.

    Raises: SettingsError.
    """
    document, origin = _document(path, environ)
    try:
        if document.keys() <= {*BRIEF, *OTHERS}:
            storage, console, pricing = (document.get(name, {}) for name in BRIEF)
            return Brief(
                Storage.model_validate(storage),
                Console.model_validate(console),
                Pricing.model_validate(pricing),
            )
    except ValidationError:
        pass
    found = _validated(document, origin)
    return Brief(found.storage, found.console, found.pricing)


def _document(
    path: Path | None, environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """What was given, and where each key came from."""
    document = _read(path or DEFAULT_FILE, required=path is not None)
    if "openai_api_key" in document:
        raise SettingsError(
            "openai_api_key: not allowed in the file, which holds no secrets; "
            "set the environment variable OPENAI_API_KEY"
        )
    origin: dict[tuple[str, ...], str] = {(): str(path or DEFAULT_FILE)}
    _rename(document, origin[()])
    for variable, key in ENVIRONMENT.items():
        if environ.get(variable):
            _put(document, key, environ[variable])
            origin[key] = variable
            if key == ("storage", "database_path") and isinstance(document["storage"], dict):
                document["storage"].pop("database_url", None)
    return document, origin


def account_table(name: str, values: Mapping[str, Any]) -> AccountTable:
    """An account as a command describes it, by the rules of `[accounts.NAME]`. Raises: SettingsError."""
    return _validated({"accounts": {name: dict(values)}}, {(): "command line"}).accounts[name]


def _validated(document: dict[str, Any], origin: Mapping[tuple[str, ...], str]) -> Settings:
    from settings.model import Settings

    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        # The cause would show what was given, also where it has to stay secret.
        raise SettingsError("\n".join(_line(dict(e), origin) for e in error.errors())) from None


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if required:
            raise SettingsError(
                f"{path}: no such file; leave out --config to run with the defaults"
            ) from error
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: cannot be read: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def _rename(document: dict[str, Any], file: str) -> None:
    for old, new in RENAMED.items():
        table = document
        for part in old[:-1]:
            table = table.get(part, {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict) or old[-1] not in table:
            continue
        if new is None:
            del table[old[-1]]
            print(
                f"{file}: {_dotted(old)} no longer does anything; the next release refuses it",
                file=sys.stderr,
            )
            continue
        if new[-1] in table:
            raise SettingsError(
                f"{file}: {_dotted(old)} is the old name of {_dotted(new)}: keep only one of them"
            )
        _put(document, new, table.pop(old[-1]))
        print(
            f"{file}: {_dotted(old)} is now called {_dotted(new)}; "
            "the old name will be removed in the next release",
            file=sys.stderr,
        )


def _put(document: dict[str, Any], key: tuple[str, ...], value: object) -> None:
    for part in key[:-1]:
        document = document.setdefault(part, {})
        if not isinstance(document, dict):
            return  # the validation below names the table that is none
    document[key[-1]] = value


def _line(error: dict[str, Any], origin: Mapping[tuple[str, ...], str]) -> str:
    key = tuple(
        str(part) for part in error["loc"] if not isinstance(part, int)
    )  # of an array, the member shows
    where = f"{origin.get(key, origin[()])}: {_dotted(key)}" if key else origin[()]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known(key[:-1])
        near = get_close_matches(key[-1], known, n=1, cutoff=0.68)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{where}: unknown key; {hint}allowed here: {', '.join(known)}"
    if not key:
        return f"{where}: {message}"
    if key[-1] == "[key]":  # pydantic's word for a name that the file chose
        return f"{origin[()]}: [{_dotted(key[:-2])}.NAME]: NAME = {error['input']!r}: {message}"
    if error["type"] == "missing":
        return f"{where}: missing; it is required"
    plain = _PLAIN.get(error["type"])
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in error.get("ctx", {}).items()
    }
    allowed = f"allowed: {plain.format_map(limits)}" if plain else message
    return f"{where} = {_shown(key, error['input'])}: {allowed}"


def _dotted(key: tuple[str, ...]) -> str:
    return ".".join(part if part.isprintable() else repr(part) for part in key)


def _shown(key: tuple[str, ...], value: object) -> str:
    """What was given, without what has to stay secret: secret keys, and what precedes the @ of a URL."""
    if key[-1] in _SECRET:
        return "(hidden)"
    return re.sub(r"(?<=//).*(?=@)", "(hidden)", repr(value))


def _known(key: tuple[str, ...]) -> list[str]:
    from settings.model import Settings

    table: type[BaseModel] = Settings
    parts = iter(key)
    for part in parts:
        kind = table.model_fields[part].annotation
        if get_origin(kind) is dict:
            next(parts, None)  # the name that the file chose
            kind = get_args(kind)[1]
        table = cast("type[BaseModel]", kind)
    return sorted(name for name in table.model_fields if name != "openai_api_key")

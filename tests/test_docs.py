"""The documents are true: what they name exists, and what exists is in them."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from prometheus.promql import promql
from settings.load import ENVIRONMENT, load
from settings.model import Settings
from tests.support.cases import each
from tests.support.commands import run

ROOT = Path(__file__).parent.parent
DOCS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("README.md"), *sorted((ROOT / "docs").rglob("*.md"))]
}
ALL = "\n".join(DOCS.values())
REFERENCE = DOCS["docs/configuration.md"]
EXAMPLE = ROOT / "codex-usage.example.toml"


def fields(table: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key that a file may hold, as the documents write it."""
    for name, field in table.model_fields.items():
        kind: Any = field.annotation
        if get_origin(kind) is dict:
            chosen = "ID" if name == "accounts" else "NAME"
            yield from fields(get_args(kind)[1], f'{prefix}{name}."{chosen}".')
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
        elif name != "openai_api_key":
            yield prefix + name, field


FIELDS = dict(fields())


def row(first: str, text: str) -> list[str]:
    """The cells of the table row that begins with a name."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| `{first}` |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "needed"
    if field.default in (None, ""):
        return "none"
    if isinstance(field.default, tuple):
        return f"`{json.dumps(field.default)}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


# The reference of the configuration


@each("key", FIELDS)
def test_a_key_is_described_as_it_is(key: str) -> None:
    field = FIELDS[key]
    _, shown, allowed, meaning = row(key, REFERENCE)
    assert shown == default(field)
    assert meaning == field.description
    for bound in field.metadata:
        for name in ("gt", "ge", "le", "min_length"):
            if hasattr(bound, name):
                assert str(getattr(bound, name)).removesuffix(".0") in re.findall(
                    r"\d+(?:\.\d+)?", allowed
                ), f"{name} of {key}"


def test_no_key_is_described_that_is_none() -> None:
    described = re.findall(r"^\| `((?:\w+)(?:\.(?:\w+|\"(?:NAME|ID)\"))+)` \|", REFERENCE, re.MULTILINE)
    assert set(described) == set(FIELDS)


def test_every_variable_is_described_with_its_key() -> None:
    described = re.findall(r"^\| `([A-Z_]+)` \|", REFERENCE, re.MULTILINE)
    assert set(described) == set(ENVIRONMENT)
    for variable, key in ENVIRONMENT.items():
        if variable != "OPENAI_API_KEY":
            assert f"`{'.'.join(key)}`" in row(variable, REFERENCE)[1]


def test_no_document_names_a_variable_that_is_not_read() -> None:
    assert set(re.findall(r"\bCODEX_[A-Z_]+\b", ALL)) <= set(ENVIRONMENT)


# The example file


def uncommented(tmp_path: Path) -> Path:
    path = tmp_path / "codex-usage.toml"
    text = EXAMPLE.read_text(encoding="utf-8")
    path.write_text(re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE), encoding="utf-8")
    return path


def test_the_example_as_it_is_changes_nothing() -> None:
    assert load(EXAMPLE, {}) == Settings()


def value(document: Any, key: str) -> Any:
    for part in key.split("."):  # a name that the file chooses is the only one there
        document = next(iter(document.values())) if part.startswith('"') else document[part]
    return document


def test_the_example_holds_every_key_with_its_default(tmp_path: Path) -> None:
    path = uncommented(tmp_path)
    written, settings = tomllib.loads(path.read_text(encoding="utf-8")), load(path, {}).model_dump()
    for key, field in FIELDS.items():
        assert value(written, key) is not None
        if field.default not in (None, PydanticUndefined):
            found = value(settings, key)
            assert (promql(found) if isinstance(found, timedelta) else found) == field.default, key


# Sessions and commands


def sessions() -> set[str]:
    """Every session of the noxfile."""
    found = set()
    for node in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if "nox.session" in ast.unparse(decorator):
                name = re.search(r"name='([\w-]+)'", ast.unparse(decorator))
                found.add(name[1] if name else node.name)  # type: ignore[attr-defined]
    return found


def test_every_session_is_documented_and_exists() -> None:
    named = set(re.findall(r"(?:\./dev|nox) -s ([\w-]+)", ALL))
    assert named == sessions()


@cache
def answer(room: str, *words: str) -> tuple[int, str]:
    """The exit code and the output of `python -m ROOM WORDS`."""
    done = run(room, *words)
    return done.returncode, done.stdout + done.stderr


def commands() -> set[str]:
    """Every `python -m` command of the rooms, as they name them themselves."""
    found = set()
    for room in sorted(path.parent.name for path in ROOT.glob("*/__main__.py")):
        complaint = answer(room, "no-such-command")[1]
        choices = re.search(r"argument COMMAND: invalid choice: .*choose from ([^)]*)", complaint)
        names = re.findall(r"[\w-]+", choices[1]) if choices else [""]
        found |= {f"{room} {name}".strip() for name in names}
    return found


def test_every_command_is_documented() -> None:
    assert {command for command in commands() if f"`python -m {command}`" not in ALL} == set()


def named_commands() -> set[str]:
    """Every `python -m` command that a document names, without its options."""
    return {
        name.strip()
        for name in re.findall(r"python -m ([a-z]+(?: [a-z-]+)?)(?=[`\s])", ALL)
        if name != "venv"
    }


@each("command", sorted(named_commands()))
def test_every_command_that_is_named_exists(command: str) -> None:
    code, text = answer(*command.split(), "--help")
    assert code == 0, text
    assert f"usage: python -m {command}" in re.sub(r"\s+", " ", text)


# Links


def links() -> list[tuple[str, str]]:
    return [
        (document, target)
        for document, text in DOCS.items()
        for target in re.findall(r"\]\(([^)#]+)", text)
        if "://" not in target
    ]


@each(("document", "target"), links())
def test_a_link_leads_somewhere(document: str, target: str) -> None:
    assert ((ROOT / document).parent / target).exists()

"""From paths to sources: a file by its ending, a folder by what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from prometheus.errors import SourceError
from prometheus.lint.query import TEMPLATE, Source
from prometheus.lint.sources import dashboards, manifests, pages, rule_files

LOADERS: Mapping[str, Callable[[str, str], list[Source]]] = {
    ".json": lambda file, text: [dashboards.load(file, text)],
    **dict.fromkeys(manifests.RULE_ENDINGS, manifests.load),
    ".md": lambda file, text: [pages.load(file, text)],
}

_QUERIES = re.compile(r'^[\s-]*expr:|"expr" *:', re.MULTILINE)


def sources(paths: Iterable[Path]) -> list[Source]:
    """Every file that is named, and of every folder those that hold queries. One that cannot be read, or is
    of no known kind, is a source with its error: the others are read all the same."""
    return [source for path in paths for source in _sources(path)]


def _sources(path: Path) -> Iterator[Source]:
    if not path.is_dir():
        yield from _one(path)
        return
    for file in sorted(p for p in path.rglob("*") if p.suffix in LOADERS and p.is_file()):
        if _holds_queries(file):
            yield from _one(file)


def _one(path: Path) -> list[Source]:
    text = ""
    try:
        if path.suffix not in LOADERS:
            raise SourceError(f"{path}: allowed: a folder, or a file ending in {', '.join(LOADERS)}")
        text = _read(path)
        return LOADERS[path.suffix](str(path), text)
    except SourceError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return [Source(str(path), "unreadable", (), error=reason, template=bool(TEMPLATE.search(text)))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SourceError(f"{path}: cannot be read: {reason or error}") from error


def _holds_queries(file: Path) -> bool:
    """Whether a file that merely lies in the folder is of our kinds. What cannot be read, or has queries and
    cannot be parsed, is let through, so that the loader names the fault."""
    try:
        text = _read(file)
    except SourceError:
        return True
    try:
        if file.suffix == ".json":
            return dashboards.is_dashboard(json.loads(text))
        if file.suffix in manifests.RULE_ENDINGS:
            found = [*rule_files.loaded(text)]
            return any(rule_files.groups(each) or any(manifests.files(each)) for each in found)
    except (ValueError, yaml.YAMLError):
        return bool(_QUERIES.search(text))
    return True

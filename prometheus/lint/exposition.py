"""A schema from a scrape: the text that any exporter answers with, from a file or a URL."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from prometheus.errors import SourceError
from prometheus.lint.schema import Schema, Series

TARGET_LABELS = frozenset({"job", "instance"})
TIMEOUT_SECONDS = 10
KINDS = {"counter": "counter", "gauge": "gauge", "histogram": "counter", "summary": "counter"}

COUNTING = ("_total", "_bucket")


def load(where: str, target_labels: Iterable[str] = ()) -> Schema:
    """The series of one scrape.

    Args:
        where: a file, or an http(s) address like http://127.0.0.1:9100/metrics.
        target_labels: what scraping adds beside `job` and `instance`, like `cluster`.
    Raises: SourceError.
    """
    text = _fetch(where) if where.startswith(("http://", "https://")) else _read(Path(where))
    added = TARGET_LABELS | frozenset(target_labels)
    try:
        parse: Callable[[str], Iterable[Metric]] = prometheus_text
        if text.rstrip().endswith("# EOF"):
            parse = openmetrics
            text = re.sub(r"^# UNIT .*\n", "", text, flags=re.MULTILINE)  # what the parser is strict about
        families = parse(text)
        series = [s for family in families for s in _series(family, added)]
    except (ValueError, KeyError, IndexError) as error:
        raise SourceError(f"--schema {where}: not the text of a scrape: {error}") from error
    if not series:
        raise SourceError(f"--schema {where}: no series in it: not the text of a scrape?")
    always = [Series(name, "gauge", TARGET_LABELS, name) for name in ("up", "scrape_duration_seconds")]
    return Schema({s.name: s for s in (*always, *series)}, closed=True)


def _series(family: Metric, added: frozenset[str]) -> Iterator[Series]:
    labels: dict[str, frozenset[str]] = {}
    for sample in family.samples:
        labels[sample.name] = labels.get(sample.name, added) | frozenset(sample.labels)
    for name, found in labels.items():
        kind = KINDS.get(family.type, "")
        if not kind and name.endswith(COUNTING):
            kind = "counter"  # exporters that state no type still name their counters as such
        if family.type == "summary" and name == family.name:
            kind = "gauge"  # its quantiles
        yield Series(name, kind, found, family.name)
    if not labels:  # declared, and counted nothing yet
        for name in _silent(family):
            yield Series(name, KINDS.get(family.type, ""), None, family.name)


def _silent(family: Metric) -> tuple[str, ...]:
    if family.type == "counter":
        return (f"{family.name}_total", family.name)
    if family.type in ("histogram", "summary"):
        return tuple(f"{family.name}_{part}" for part in ("bucket", "sum", "count"))
    return (family.name,)


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  (http or https)
            text: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise SourceError(f"--schema {url}: no answer: {error}") from error
    return text.decode("utf-8", "replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"--schema {path}: cannot be read: {error}") from error

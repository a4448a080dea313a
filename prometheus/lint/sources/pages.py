"""Queries of Markdown pages: blocks marked as promql, one query to a paragraph."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus.lint.finding import Place
from prometheus.lint.query import Query, Source

_BLOCK = re.compile(r"^```promql[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def load(file: str, text: str) -> Source:
    """The queries of one page. Who writes a page here writes about our metrics."""
    return Source(file, "page", tuple(_queries(file, text)), ours=True)


def _queries(file: str, text: str) -> Iterator[Query]:
    for block in _BLOCK.finditer(text):
        headings = _HEADING.findall(text[: block.start()])
        for paragraph in re.finditer(r"(?:^(?!\s*$).*\n)+", block[1], re.MULTILINE):
            line = text.count("\n", 0, block.start(1) + paragraph.start()) + 1
            heading = headings[-1] if headings else ""
            yield Query(Place(file, heading, "promql", line), paragraph[0].rstrip("\n"), ours=True)

from __future__ import annotations

from prometheus.lint.sources.pages import load


def test_a_paragraph_is_a_query() -> None:
    first = "## First\n\n```promql\nup\n\nsum(\n  up\n)\n```\n\n```bash\nup\n```\n"
    page = f"# T\n\n{first}## Second\n```promql\nx\n```\n"
    found = [(q.place.panel, q.place.line, q.expr) for q in load("p.md", page).queries]
    assert found == [("First", 6, "up"), ("First", 8, "sum(\n  up\n)"), ("Second", 18, "x")]

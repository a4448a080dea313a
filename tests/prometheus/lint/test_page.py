"""docs/promql-linter.md: a section for each rule, whose first example fails by that rule and whose second
passes."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from prometheus.config import RuleConfig
from prometheus.lint.catalogue import RULES
from prometheus.lint.finding import Place
from prometheus.lint.linting import World, lint
from prometheus.lint.query import Alert, Query, Source
from prometheus.lint.schema import Schema, ours

PAGE = (Path(__file__).parents[3] / "docs/promql-linter.md").read_text()
SECTIONS = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def said(word: str, text: str) -> list[str]:
    found = re.search(rf"^# {word}: (.*)$", text, re.MULTILINE)
    return found[1].split(", ") if found else []


def judged(example: str) -> set[str]:
    """The rules that an example breaks. A paragraph that is recorded stands in a rule file, all others in
    a dashboard."""
    by_kind: dict[str, list[Query]] = {"rules": [], "dashboard": []}
    for number, text in enumerate(example.split("\n\n")):
        record = said("record", text)
        waits = said("alert", text)
        labels = [label.strip("{}") for label in said("legend", text)]
        query = Query(
            Place(str(number)),
            text.rpartition("\n")[2] if waits else text,
            named=frozenset(labels),
            variables=dict.fromkeys(said("variables", text), ""),
            records="".join(record),
            unit="".join(said("unit", text)),
            alert=Alert("for" in waits, tuple(said("summary", text))) if waits else None,
            every=timedelta(minutes=1),
            ours=True,
        )
        by_kind["rules" if record else "dashboard"].append(query)
    sources = [Source(q.place.file, kind, (q,), ours=True) for kind, qs in by_kind.items() for q in qs]
    config = RuleConfig()
    exported, left_out = frozenset(said("exported", example)), dict.fromkeys(said("left out", example), "")
    held = World(ours(config), Schema(), config.scrape_interval, exported, left_out)
    return {finding.complaint.rule for finding in lint(sources, held)}


def test_each_rule_has_a_section() -> None:
    assert list(SECTIONS) == [rule for rule in SECTIONS if rule in RULES]
    assert set(SECTIONS) == set(RULES)


@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"unreadable-file"}))
def test_the_examples_are_true(rule: str) -> None:
    section = SECTIONS[rule]
    fails, passes = re.findall(r"```promql\n(.*?)\n```", section, re.DOTALL)
    assert judged(fails) == {rule}
    assert judged(passes) == set()
    assert re.search(r"Fails:.*Passes:", section, re.DOTALL)

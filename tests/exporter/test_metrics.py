"""Wall 2: what a running exporter shows is what it declares."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from metrics import exporter as metrics
from metrics.exporter import FAMILIES
from metrics.family import MetricFamily

PROMTOOL_DISLIKES = {
    'codex_lb_accounts_total non-counter metrics should not have "_total" suffix',
    'codex_lb_primary_window_minutes use base unit "seconds" instead of "minutes"',
    'codex_lb_secondary_window_minutes use base unit "seconds" instead of "minutes"',
}
"""Names that existing dashboards ask for, so they stay; each is checked to be needed still."""

Start = Callable[..., "subprocess.Popen[str]"]


def scraped(start: Start, usage_db: Path) -> str:
    process = start(f'[exporter]\nlisten_addr = "127.0.0.1:0"\n[storage]\ndatabase_path = "{usage_db}"')
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    with urllib.request.urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_names_types_help_and_labels_are_the_declared_ones(start: Start, usage_db: Path) -> None:
    shown = {
        family.name + "_total" * (family.type == "counter"): (  # the parser takes it off
            family.type,
            family.documentation,
            {frozenset(s.labels) for s in family.samples},
        )
        for family in text_string_to_metric_families(scraped(start, usage_db))
    }
    assert shown == {f.name: (f.kind, f.help, {frozenset(f.labels)}) for f in FAMILIES}


def test_promtool_finds_nothing_to_say(start: Start, usage_db: Path, binary: Callable[[str], str]) -> None:
    text = scraped(start, usage_db)
    command = [binary("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=text, capture_output=True, text=True)
    assert set((checked.stdout + checked.stderr).splitlines()) == PROMTOOL_DISLIKES


def test_every_family_of_the_module_is_in_the_list() -> None:
    declared = [value for value in vars(metrics).values() if isinstance(value, MetricFamily)]
    assert sorted(declared, key=str) == sorted(FAMILIES, key=str)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_the_document_has_every_family_as_it_is_declared() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = text.partition("## Exporter")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `codex_.*$", section, re.MULTILINE) == [
        f"| `{f.name}` | {f.kind} | {', '.join(f.labels) or '-'} | {f.unit or '-'} | {f.help} |"
        for f in FAMILIES
    ]


def test_a_unit_is_in_the_name() -> None:
    with_unit = [family for family in FAMILIES if family.unit]
    assert with_unit
    for family in with_unit:
        assert re.search(rf"_{family.unit}(_|$)", family.name)

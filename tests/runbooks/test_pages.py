"""One page for every alert, and a page for every task: complete, true, and no page more."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from prometheus.alerts import Alert, alerts
from prometheus.config import RuleConfig
from prometheus.lint.linting import lint, world
from prometheus.lint.sources.reading import sources

FOLDER = Path(__file__).parents[2] / "runbooks"
ROOT = FOLDER.parent
CONFIG = RuleConfig()
ALERTS = {alert.page: alert for alert in alerts(CONFIG)}
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
TASKS = sorted((FOLDER / "tasks").glob("*.md"))
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md") if path.name != "README.md"
}


def test_alerts_and_pages_match_one_to_one() -> None:
    assert set(PAGES) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: alert.name)
def test_a_page_is_complete(alert: Alert) -> None:
    page = PAGES[alert.page]
    assert page.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert "```promql" in page.split("## Diagnosis")[1].split("## Mitigation")[0]


def test_a_page_names_no_alert_that_there_is_not() -> None:
    named = {name for page in PAGES.values() for name in re.findall(r"Quotascope[A-Z]\w+", page)}
    assert named == {alert.name for alert in ALERTS.values()}


def test_every_page_is_in_the_index() -> None:
    linked = re.findall(r"\]\(([\w/-]+\.md)\)", INDEX)
    assert sorted(linked) == sorted([*ALERTS, *(f"tasks/{path.name}" for path in TASKS)])
    for alert in ALERTS.values():
        assert f"[{alert.name}]({alert.page})" in INDEX


NUMBERS = {
    "error-ratio-high.md": (
        "5 %",
        CONFIG.error_ratio_above * 100,
        "20 requests",
        CONFIG.error_requests_at_least,
    ),
    "quota-nearly-used.md": (
        "90 %",
        CONFIG.quota_used_percent_above,
        "six hours",
        CONFIG.quota_reset_at_least,
    ),
    "spend-above-limit.md": ("100 US", CONFIG.spend_limit_usd),
    "requests-unpriced.md": ("5 %", CONFIG.unpriced_share_above * 100, "10 of", CONFIG.unpriced_at_least),
    "short-key-surge.md": ("50 requests", CONFIG.short_keys_above, "ten minutes", CONFIG.short_keys_within),
    "latency-high.md": ("two minutes", CONFIG.latency_above, "20 requests", CONFIG.latency_requests_at_least),
    "quota-going-to-waste.md": ("30 %", CONFIG.waste_percent_above),
}
"""What a page says of the defaults, and the default."""

WORDS = {
    "six hours": timedelta(hours=6),
    "ten minutes": timedelta(minutes=10),
    "two minutes": timedelta(minutes=2),
}


@pytest.mark.parametrize("page", NUMBERS)
def test_a_page_says_the_defaults_as_they_are(page: str) -> None:
    first = PAGES[page].split("## Meaning")[0].replace("\n", " ")
    for text, value in zip(NUMBERS[page][::2], NUMBERS[page][1::2], strict=True):
        assert isinstance(text, str)
        assert text in first
        assert WORDS.get(text, value) == value
        if not isinstance(value, timedelta):
            assert float(re.findall(r"\d+", text)[0]) == value


def test_the_linter_has_nothing_to_say() -> None:
    found = sources([FOLDER])
    assert sum(len(source.queries) for source in found) > 30
    assert lint(found, world(CONFIG)) == []


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_names_its_command_and_session(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert f"./dev -s {path.stem}" in page
    assert f"python -m runbooks {path.stem}" in page
    assert f'name="{path.stem}"' in (ROOT / "noxfile.py").read_text(encoding="utf-8")

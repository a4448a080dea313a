"""A second exporter of the same families in the same Prometheus never doubles what is shown or alerted on."""

from __future__ import annotations

import re
from pathlib import Path

import promql_parser
import pytest

from dashboards import build as dashboards_build
from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from prometheus.build import files, write
from prometheus.config import RuleConfig
from prometheus.jobs import confined
from prometheus.lint import tree, variables
from prometheus.lint.query import Query
from prometheus.lint.sources.reading import sources
from prometheus.scrape import Targets

CONFIG = RuleConfig(proxy_job="p", exporter_job="e", collector_job="c")
EXPORTED = {
    name
    for family in (*proxy_metrics.FAMILIES, *exporter_metrics.FAMILIES, *collector_metrics.OWN)
    for name in family.series
}


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> list[Query]:
    out = tmp_path_factory.mktemp("built")
    write(files(CONFIG, Targets("127.0.0.1:8787", "127.0.0.1:8789")), out)
    dashboards_build.write(dashboards_build.dashboards(CONFIG), out)
    return [query for source in sources([out]) for query in source.queries]


@pytest.mark.slow
def test_every_selector_of_what_is_exported_names_our_jobs(queries: list[Query]) -> None:
    seen = set()
    for query in queries:
        parsed = promql_parser.parse(variables.substituted(query, CONFIG.scrape_interval))
        for selector, _ in tree.selectors(parsed):
            if selector.name in EXPORTED:
                jobs = {m.value for m in selector.matchers.matchers if m.name == "job"}
                assert jobs <= {"p", "e", "c", "p|e|c"} and jobs, query.expr
                seen.add(selector.name)
    assert exporter_metrics.ACCOUNTS.name in seen
    assert proxy_metrics.LATENCY.bucket in seen


def test_the_queries_of_every_page_name_the_default_jobs() -> None:
    """What they would be narrowed to says nothing more."""
    asked = [query for source in sources([Path("runbooks")]) for query in source.queries]
    assert len(asked) > 40
    for query in asked:
        assert confined(query.expr, RuleConfig()) == query.expr
        assert set(re.findall(r'job=~?"([^"]*)"', query.expr)) <= {"quotascope-.+"}
    assert all(
        re.fullmatch("quotascope-.+", job)
        for job in RuleConfig(services=("proxy", "exporter", "collector")).jobs
    )


def test_variables_list_values_of_our_jobs_alone() -> None:
    overview = dashboards_build.dashboards(CONFIG)["overview"]
    asked = [v["query"] for v in overview["templating"]["list"] if v["name"] == "model"]
    assert asked == ['label_values(codex_lb_proxy_requests_total{job=~"p|e|c"}, model)']


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("codex_lb_accounts_total", 'codex_lb_accounts_total{job="e"}'),
        ("sum(codex_lb_accounts_total{})", 'sum(codex_lb_accounts_total{job="e"})'),
        (
            'codex_lb_accounts_total{status="}{ \\"x"} offset 5m',
            'codex_lb_accounts_total{status="}{ \\"x",job="e"} offset 5m',
        ),
        ('codex_lb_accounts_total{status="a",}', 'codex_lb_accounts_total{status="a",job="e"}'),
        ('up{job="p"}', 'up{job="p"}'),
        ('up{instance="a", job !~ "p"}', 'up{instance="a", job !~ "p"}'),
        ("codex_lb_collector_connected[5m]", 'codex_lb_collector_connected{job="c"}[5m]'),
        ('label_replace(vector(1), "x", "up", "", "")', 'label_replace(vector(1), "x", "up", "", "")'),
        ("# of up\nup", '# of up\nup{job=~"p|e|c"}'),
        ("node_load1", "node_load1"),
        ("my:codex_lb_accounts_total:sum", "my:codex_lb_accounts_total:sum"),
    ],
)
def test_what_is_narrowed(expr: str, expected: str) -> None:
    assert confined(expr, CONFIG) == expected

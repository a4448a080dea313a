"""Files as others write them: every form of dashboards and rules, and what is no fault in them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus.config import RuleConfig
from prometheus.lint import exposition
from prometheus.lint.linting import lint, world
from prometheus.lint.schema import Schema
from prometheus.lint.sources.reading import sources

COUNTER = "sum(orders_total)"


def panel(expr: str, datasource: object = "prometheus", **more: object) -> dict[str, Any]:
    return {"title": "p", "targets": [{"refId": "A", "expr": expr, "datasource": datasource}], **more}


def classic(*panels: object, **more: object) -> dict[str, Any]:
    return {"title": "t", "schemaVersion": 39, "panels": list(panels), **more}


def v2(group: str) -> dict[str, Any]:
    query = {"kind": "DataQuery", "group": group, "spec": {"expr": COUNTER}}
    queries = [{"kind": "PanelQuery", "spec": {"refId": "A", "query": query}}]
    element = {
        "kind": "Panel",
        "spec": {"title": "p", "data": {"kind": "QueryGroup", "spec": {"queries": queries}}},
    }
    spec = {"title": "t", "elements": {"panel-1": element}, "variables": [], "layout": {}}
    return {"apiVersion": "dashboard.grafana.app/v2beta1", "kind": "Dashboard", "spec": spec}


def rule_group(*rules: object) -> dict[str, Any]:
    return {"name": "g", "rules": list(rules)}


RULE = {"record": "a:b", "expr": COUNTER}
LIST = {
    "kind": "List",
    "items": [{"kind": "PrometheusRule", "spec": {"groups": [rule_group(RULE)]}}],
}
GRAFANA_ALERT = {
    "apiVersion": 1,
    "groups": [
        {"folder": "f", **rule_group({"title": "t", "data": [{"refId": "A", "model": {"expr": COUNTER}}]})}
    ],
}
LOKI_RULE = {
    "apiVersion": "loki.grafana.com/v1",
    "kind": "AlertingRule",
    "items": [],
    "spec": {"groups": [rule_group({"alert": "A", "for": "5m", "expr": 'sum(rate({app="x"}[5m])) > 1'})]},
}
CONFIG_MAP = {
    "kind": "List",
    "items": [
        {
            "kind": "ConfigMap",
            "data": {
                "d.json": json.dumps(classic(panel(COUNTER))),
                "any.json": "{}",
                "prometheus.yml": "global:\n",
            },
        }
    ],
}
LIBRARY = {"__elements": {"u": {"kind": 1, "model": panel(COUNTER)}}}


def found(tmp_path: Path, document: object, schema: Schema | None = None) -> list[tuple[str, str | None]]:
    """The rules that a document breaks, with the severity where it is not the rule's own."""
    file = tmp_path / "file.json"
    file.write_text(json.dumps(document))
    if isinstance(document, str):
        file = tmp_path / "file.yml"
        file.write_text(document)
    elif isinstance(document, dict) and ("groups" in document or "items" in document):
        file = tmp_path / "file.yml"
        file.write_text(yaml.safe_dump(document))
    findings = lint(sources([file]), world(RuleConfig(), schema))
    return [(f.complaint.rule, f.complaint.severity) for f in findings]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(classic(panel(COUNTER)), id="classic"),
        pytest.param({"dashboard": classic(panel(COUNTER)), "meta": {}}, id="as the API answers"),
        pytest.param(
            {"apiVersion": "dashboard.grafana.app/v1beta1", "spec": classic(panel(COUNTER))}, id="v1 resource"
        ),
        pytest.param(v2("prometheus"), id="v2 resource"),
        pytest.param(v2("prometheus")["spec"], id="v2 spec"),
        pytest.param(classic(**LIBRARY), id="library panel of an export"),
        pytest.param(classic(panel(COUNTER, {"type": "grafana-amazonprometheus-datasource"})), id="amazon"),
        pytest.param(classic(panel(COUNTER, {"type": "victoriametrics-metrics-datasource"})), id="victoria"),
        pytest.param(classic({"type": "row", "panels": [panel(COUNTER)]}), id="row"),
        pytest.param({"groups": [rule_group(RULE)]}, id="rules"),
        pytest.param(
            f"{yaml.safe_dump({'groups': []})}---\n{yaml.safe_dump({'groups': [rule_group(RULE)]})}",
            id="several documents",
        ),
        pytest.param(LIST, id="list of resources"),
        pytest.param(GRAFANA_ALERT, id="Grafana's alert rules"),
        pytest.param(CONFIG_MAP, id="a dashboard in a ConfigMap"),
        pytest.param(
            f"kind: ConfigMap\ndata:\n  r.rules: |\n    groups: [{json.dumps(rule_group(RULE))}]\n",
            id="rules in a ConfigMap",
        ),
        pytest.param(
            f"kind: GrafanaDashboard\nspec:\n  json: |\n    {json.dumps(classic(panel(COUNTER)))}\n",
            id="a GrafanaDashboard",
        ),
        pytest.param(
            f"kind: Template\nobjects:\n- spec: {{groups: [{json.dumps(rule_group(RULE))}]}}\n",
            id="a template of OpenShift",
        ),
        pytest.param(f"\ufeffx: !vault 1\ngroups: [{json.dumps(rule_group(RULE))}]", id="a mark and a tag"),
        pytest.param(
            f"a: &x 1\nb: &x 2\ngroups: [{json.dumps(rule_group(RULE))}]", id="an anchor given twice"
        ),
    ],
)
def test_a_counter_is_seen_in_every_form_of_file(tmp_path: Path, document: object) -> None:
    """By its name alone, so it is a hint."""
    assert found(tmp_path, document) == [("counter-without-rate", "hint")]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(classic(panel('{app="x"} |= "err"', "Loki")), id="Loki by name"),
        pytest.param(classic(panel('{app="x"} |= "err"', "${loki}")), id="Loki by variable"),
        pytest.param(v2("loki"), id="Loki in v2"),
        pytest.param(
            classic(
                panel('{app="x"} |= "err"', "$logs"),
                templating={"list": [{"name": "logs", "type": "datasource", "query": "loki"}]},
            ),
            id="a datasource variable of another type",
        ),
        pytest.param(
            classic(
                panel("sum(rate(orders_total[5m]))", {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}),
                __inputs=[{"name": "DS_PROMETHEUS", "type": "datasource", "pluginId": "prometheus"}],
            ),
            id="an input of the import",
        ),
        pytest.param(classic(panel("histogram_quantile(0.9, sum(rate(latency_seconds[5m])))")), id="native"),
        pytest.param(classic(panel("count(orders_total * on (node) group_left info)")), id="counted"),
        pytest.param(classic(panel("up unless on (job) orders_total")), id="presence"),
        pytest.param(classic(panel("orders_total > bool 0")), id="true or false"),
        pytest.param(classic(panel("sum(rate(x_total{path=~`/v\\d+/.*`}[5m]))")), id="raw string"),
        pytest.param(classic(panel("avg(avg_over_time(memory_bytes[$__interval]))")), id="one sample"),
        pytest.param(classic(panel("sum(rate(latency:quantile[5m]) >= 0)")), id="without NaN"),
        pytest.param(
            classic(panel('sum(allocators{usage="block"}) / sum(allocators{usage="carrier"})')), id="gauges"
        ),
        pytest.param(
            classic(panel('count(topics{topic!~"SYSTEM.*|\\\\$SYS.*"})')), id="a dollar sign in a pattern"
        ),
        pytest.param("groups:\n  - name: g\n    rules: []\n    limit: =\n", id="a lone = in YAML"),
        pytest.param(LOKI_RULE, id="rules of the Loki operator"),
        pytest.param(
            classic(panel("histogram_quantile(0.9, sum(rate(size_bucket[5m])) by (job, vmrange))")),
            id="buckets of VictoriaMetrics",
        ),
        pytest.param(
            {
                "groups": [
                    rule_group(
                        {"record": "sent_bytes", "expr": "sum by (device) (sent)"},
                        {"record": "a:rate", "expr": "sum by (instance) (rate(sent_bytes[5m]))"},
                    )
                ]
            },
            id="recorded under the name of what older exporters export",
        ),
        pytest.param(classic(title="x", panels=None), id="no panels"),
        pytest.param({"title": "x", "panels": None}, id="no panels and no version"),
        pytest.param(
            {
                "groups": [
                    rule_group({"record": "a:inodes_total", "expr": "inodes"}),
                    rule_group({"record": "a:errors", "expr": "errors_in + errors_out"}),
                    rule_group({"record": "a:b", "expr": "a:inodes_total - rate(a:errors[5m])"}),
                    rule_group({"record": "a:latency:sum_rate", "expr": "sum by (a) (rate(latency[5m]))"}),
                    rule_group(
                        {"record": "a:p99", "expr": "histogram_quantile(0.9, sum(a:latency:sum_rate))"}
                    ),
                ]
            },
            id="of what others record the query tells the kind, not the name",
        ),
        pytest.param(
            {
                "groups": [
                    rule_group(
                        {
                            "alert": "A",
                            "for": "5m",
                            "expr": "up == 0",
                            "annotations": {
                                "a": "{{`{{ $labels.job }} is down`}}",
                                "b": '{{ "{{" }} $value {{ "}}" }} {{ include "chart.name" . }}',
                            },
                        }
                    )
                ]
            },
            id="Prometheus' templates in those of Helm",
        ),
        pytest.param(
            {"groups": [{"name": "g", "type": "graphite", "rules": [{"alert": "A", "expr": "a.b.c"}]}]},
            id="vmalert asks Graphite",
        ),
        pytest.param(
            classic(panel('x{a="$a"} / x{a="$b"}'), templating={"list": [{"name": "a"}, {"name": "b"}]}),
            id="two variables may be the same",
        ),
        pytest.param(classic(panel('x{a="1"} / ignoring (a) x{a="2"}')), id="different and ignored"),
        pytest.param(classic(panel('{__name__="x"} / {__name__="y"}')), id="the name is not matched"),
        pytest.param(
            classic(
                panel("sum by (zone) (info(sum by (job, instance) (rate(orders_total[5m]))))", repeat="job")
            ),
            id="labels that info() brings",
        ),
        pytest.param(
            classic(panel('sum by ("http.route") (rate({"http.requests_total", "http.route"="/"}[5m]))')),
            id="names with dots",
        ),
        pytest.param({}, id="nothing"),
        pytest.param("groups:\n", id="no groups"),
        pytest.param("{}\n", id="empty"),
    ],
)
def test_what_is_no_fault_is_none(tmp_path: Path, document: object) -> None:
    assert found(tmp_path, document) == []


@pytest.mark.parametrize(
    "expr",
    [
        "sum(rate(orders_total[${iv}])) > $threshold",
        "$fn(rate(orders_total[5m]))",
        "$fn(orders_total[5m])",
        "sum(rate(${metric}[5m]))",
        "sum(rate(orders_total{$filter}[5m]))",
        'sum(rate(orders_total{a="b" $extra}[5m]))',
        'sum(rate(orders_total{$filter, a="b"}[5m]))',
        "sum(rate(orders_${suffix}_total[5m]))",
        "topk($k, sum by (${labels:csv}) (rate(orders_total[5m])))",
        "sum by ([[label]]) (rate(orders_total[5m] offset $offset))",
    ],
)
def test_a_variable_may_stand_anywhere(tmp_path: Path, expr: str) -> None:
    names = ("iv", "threshold", "fn", "metric", "filter", "extra", "suffix", "k", "labels", "label", "offset")
    variables = {"list": [{"name": name, "type": "custom"} for name in names]}
    assert found(tmp_path, classic(panel(expr), templating=variables)) == []


def test_labels_that_a_recording_rule_adds_are_labels_of_its_series(tmp_path: Path) -> None:
    schema = tmp_path / "scrape.txt"
    schema.write_text('# TYPE errors counter\nerrors_total{a="b"} 1\n')
    alert = {
        "alert": "Burn",
        "for": "5m",
        "expr": 'max without (window) (slo:ratio{slo="api"}) > 0.1',
        "annotations": {"summary": "{{ $labels.slo }}"},
    }
    record = {
        "record": "slo:ratio",
        "expr": "sum(rate(errors_total[5m]))",
        "labels": {"slo": "api", "window": "5m"},
    }
    groups = {"groups": [rule_group(record, alert)]}
    assert found(tmp_path, groups, exposition.load(str(schema))) == []


@pytest.mark.parametrize(
    ("scrape", "complaints"),
    [
        ('# TYPE orders_total untyped\norders_total{a="b"} 1\n', [("counter-without-rate", None)]),
        (
            '# TYPE orders counter\n# UNIT orders x\norders_total{a="b"} 1 # {t="x"} 1\n# EOF\n',
            [("counter-without-rate", None)],
        ),
        ('# TYPE orders_total gauge\norders_total{a="b"} 1\n', []),
    ],
)
def test_the_type_in_a_scrape_decides(
    tmp_path: Path, scrape: str, complaints: list[tuple[str, str | None]]
) -> None:
    (tmp_path / "scrape.txt").write_text(scrape)
    schema = exposition.load(str(tmp_path / "scrape.txt"))
    assert found(tmp_path, classic(panel(COUNTER)), schema) == complaints


def test_several_scrapes_are_one_schema(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f'# TYPE {name}_total counter\n{name}_total{{x="y"}} 1\n')
    schema = Schema.joined(exposition.load(str(tmp_path / name)) for name in ("a", "b"))
    document = classic(
        panel("sum(rate(a_total[5m])) + sum(rate(b_total[5m]))"), panel("sum(rate(c_total[5m]))")
    )
    assert found(tmp_path, document, schema) == [("unknown-metric", None)]


@pytest.mark.parametrize(
    "expr",
    ["rate(orders_total[5m] smoothed)", "rate(orders_total[5m] anchored)", "rate(orders_total[5m * 2])"],
)
def test_what_the_parser_does_not_know_promtool_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: Callable[[str], str], expr: str
) -> None:
    promtool = Path(release("promtool"))
    monkeypatch.setenv("PATH", str(promtool.parent))
    said = subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True)
    version = (said.stdout + said.stderr).split("version ")[1].split()[0]
    file = tmp_path / "file.json"
    file.write_text(json.dumps(classic(panel(expr))))
    (finding,) = lint(sources([file]), world(RuleConfig()))
    assert f"promtool {version} " in finding.complaint.reason
    new = int(version.split(".")[0]) >= 3
    assert finding.complaint.rule == ("foreign-syntax" if new else "syntax")


VICTORIA = {"type": "victoriametrics-metrics-datasource", "uid": "v"}
OFFSET = "sum(orders) offset 5m"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(classic(panel(OFFSET, VICTORIA)), id="a datasource that says so"),
        pytest.param(classic(panel(OFFSET), panel("a default 0")), id="other queries of the file"),
        pytest.param(classic(panel("sum(vm_rows[5m])")), id="metrics of VictoriaMetrics itself"),
        pytest.param({"groups": [rule_group({"record": "a:b", "expr": "up > <%= p('least') %>"})]}, id="ERB"),
        pytest.param(
            {"groups": [rule_group({"record": "a:b", "expr": "up / ${CPU-COUNT}"})]}, id="placeholder"
        ),
        pytest.param(
            {"groups": [rule_group({"record": "a:b", "expr": "<promql_expression>"})]}, id="to fill in"
        ),
        pytest.param(classic(panel("holt_winters(up[1d], 0.1, 0.9)")), id="a function of Prometheus 2"),
        pytest.param(
            {"groups": [rule_group({"record": "a:b", "expr": 'sum(rate({app="x"} |= "error" [5m]))'})]},
            id="LogQL",
        ),
    ],
)
def test_what_is_no_promql_is_a_hint(tmp_path: Path, document: object) -> None:
    assert {rule for rule, _ in found(tmp_path, document)} == {"foreign-syntax"}


def test_a_misplaced_offset_is_a_fault_of_promql(tmp_path: Path) -> None:
    assert found(tmp_path, classic(panel(OFFSET))) == [("syntax", None)]


def test_to_ignore_a_label_that_is_not_there_is_a_hint(tmp_path: Path) -> None:
    """It changes nothing."""
    expr = "sum by (job) (a) / ignoring (pod) (sum by (job) (b) > 0)"
    assert found(tmp_path, classic(panel(expr))) == [("join-label", "hint")]


def test_beside_metrics_of_victoriametrics_a_query_may_be_metricsql(tmp_path: Path) -> None:
    """A dashboard for Prometheus by its datasource, in a folder with one that looks at a VictoriaMetrics."""
    for name, expr in (("a", "rate(orders)"), ("b", "sum(vm_rows)")):
        (tmp_path / f"{name}.json").write_text(json.dumps(classic(panel(expr))))
    findings = lint(sources([tmp_path]), world(RuleConfig()))
    assert [(f.complaint.rule, f.complaint.severity) for f in findings] == [("syntax", "warning")]


@pytest.mark.parametrize(("names", "severity"), [((), "warning"), (("other",), None)])
def test_a_file_without_any_variable_may_be_a_part_of_something(
    tmp_path: Path, names: tuple[str, ...], severity: str | None
) -> None:
    variables = {"list": [{"name": name, "type": "custom"} for name in names]}
    document = classic(panel('up{job="$job"}'), templating=variables)
    assert found(tmp_path, document) == [("undefined-variable", severity)]


def test_an_export_without_its_inputs_may_be_completed_by_somebody(tmp_path: Path) -> None:
    variables = {"list": [{"name": "other", "type": "custom"}]}
    document = classic(panel("up", {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}), templating=variables)
    assert found(tmp_path, document) == [("undefined-variable", "warning")]


def test_sides_that_differ_in_one_branch_alone_may_meet(tmp_path: Path) -> None:
    """The other branch has what the right side has."""
    expr = "(sum by (a, b) (x) or sum by (a) (y)) + sum by (a) (z)"
    assert found(tmp_path, classic(panel(expr))) == []
    never = "sum by (a, b) (x) + sum by (a) (z)"
    assert found(tmp_path, classic(panel(never))) == [("never-matches", None)]


def test_a_federation_may_add_labels_to_what_is_recorded(tmp_path: Path) -> None:
    """Or external labels do: the dashboard looks at another Prometheus than the one with the rules."""
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [rule_group({"record": "seed:nodes:sum", "expr": "sum(nodes)"})]})
    )
    (tmp_path / "d.json").write_text(json.dumps(classic(panel('seed:nodes:sum{seed="one"}'))))
    findings = lint(sources([tmp_path]), world(RuleConfig()))
    assert [(f.complaint.rule, f.complaint.severity) for f in findings] == [("unknown-label", "hint")]


def test_a_count_is_never_below_nothing(tmp_path: Path) -> None:
    """In a panel the comparison only has no effect; an alert fires always."""
    assert found(tmp_path, classic(panel("count(up) >= 0"))) == [("constant-comparison", "warning")]
    assert found(tmp_path, classic(panel("count(up) < 0"))) == [("constant-comparison", None)]
    alert = {"alert": "A", "for": "5m", "expr": "count(up) >= 0"}
    assert found(tmp_path, {"groups": [rule_group(alert)]}) == [("constant-comparison", None)]


@pytest.mark.parametrize(
    ("name", "text", "severity"),
    [
        ("helm.yml", "groups:\n  - name: {{ .Release.Name }}: x\n", "hint"),
        ("erb.yml", 'groups:\n  - name: a\n  <% if_p("a") do %>\n', "hint"),
        ("jinja.json", "{% raw %}\n{}\n{% endraw %}", "hint"),
        ("broken.yml", 'groups: [\nsummary: "{{ $value }}"', None),
    ],
)
def test_a_template_is_not_broken(tmp_path: Path, name: str, text: str, severity: str | None) -> None:
    (tmp_path / name).write_text(text)
    (finding,) = lint(sources([tmp_path / name]), world(RuleConfig()))
    assert (finding.complaint.rule, finding.complaint.severity) == ("unreadable-file", severity)


def test_braces_that_nobody_opened_are_a_text(tmp_path: Path) -> None:
    alert = {
        "alert": "A",
        "for": "5m",
        "expr": "up == 0",
        "annotations": {"summary": "above {{ $value }} }}"},
    }
    assert found(tmp_path, {"groups": [rule_group(alert)]}) == [("alert-template", "hint")]


NEVER = "never-matches"


@pytest.mark.parametrize(
    ("expr", "complaints"),
    [
        ('x{a="1"} + x{a="2"}', [(NEVER, None)]),
        ('rate(x{a="1"}[5m]) / on (a, b) rate(y{a="2"}[5m])', [(NEVER, None)]),
        ('x{a="1"} and sum without (b) (y{a="2"})', [(NEVER, None)]),
        ('x{a="1"} > 0 unless count(y) > 0', [(NEVER, None)]),
        ('label_replace(x{a="1"}, "a", "2", "", "") + x{a="2"}', []),
        ('sum without (a) (x{a="1"}) + sum without (a) (x{a="2"})', []),
        ('x{a=~"1"} + x{a="2"} or x{a="3"}', [("redundant-regexp", None)]),
        ("sum by (cluster, a) (x) / sum by (a) (y)", [(NEVER, "warning")]),
        ("sum by (a, cluster) (x) * on (a, cluster) max by (a) (y)", [("join-label", "warning")]),
        ("sum by (a, b) (x) * on (a, b) max by (a) (y)", [("join-label", None)]),
        ("sum by (a) (x) or on (a) vector(0)", [("join-label", "warning")]),
        ("sum(sum by (a) (x) * on (a) group_left (b) max by (a) (y))", [("join-label", "warning")]),
        ("sum by (b) (sum by (a) (x) * on (a) group_left (b) max by (a) (y))", [("join-label", None)]),
    ],
)
def test_matchers_and_aggregations_say_whether_two_sides_can_meet(
    tmp_path: Path, expr: str, complaints: list[tuple[str, str | None]]
) -> None:
    """Also of series of which nothing else is known."""
    assert found(tmp_path, classic(panel(expr))) == complaints


def test_what_a_federation_adds_to_recorded_series_may_meet(tmp_path: Path) -> None:
    rules = [{"record": "a:b", "expr": "sum(x)"}, {"record": "c:d", "expr": 'y{seed="1"} / a:b'}]
    assert found(tmp_path, {"groups": [rule_group(*rules)]}) == [(NEVER, "warning")]


@pytest.mark.parametrize(
    ("document", "severity"),
    [
        (classic({**panel("up"), "title": "in $USD"}, templating={"list": [{"name": "a"}]}), "warning"),
        (classic(panel("up", "$source"), templating={"list": [{"name": "a"}]}), "warning"),
        (
            classic(panel('up{a="$model"}'), templating={"list": [{"name": "s", "type": "datasource"}]}),
            "warning",
        ),
        ({"groups": [rule_group({"record": "a:b", "expr": 'up{a="${NAMESPACE}"}'})]}, "warning"),
        ({"groups": [rule_group({"record": "a:b", "expr": 'up{a="$namespace"}'})]}, None),
    ],
    ids=[
        "title",
        "datasource",
        "only datasources are defined",
        "filled in by a deployment",
        "of a dashboard",
    ],
)
def test_a_variable_that_changes_no_query_or_is_filled_in_is_a_warning(
    tmp_path: Path, document: object, severity: str | None
) -> None:
    assert found(tmp_path, document) == [("undefined-variable", severity)]


@pytest.mark.parametrize(
    ("expr", "severity"),
    [("failed", None), ("failed > bool 1", "error"), ("(failed > bool 1) + up", "error")],
)
def test_an_alert_has_a_condition(tmp_path: Path, expr: str, severity: str | None) -> None:
    document = {"groups": [rule_group({"alert": "A", "for": "5m", "expr": expr})]}
    assert found(tmp_path, document) == [("alert-without-condition", severity)]


@pytest.mark.parametrize(
    "expr", ["absent(up)", "vector(1)", "a:b", "a unless b", "ALERTS", "(up > bool 1) == 1", "absent(up) * 2"]
)
def test_an_alert_may_ask_for_presence(tmp_path: Path, expr: str) -> None:
    document = {"groups": [rule_group({"alert": "A", "for": "5m", "expr": expr})]}
    assert found(tmp_path, document) == []


def test_what_merely_lies_in_a_folder_and_has_no_queries_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tsconfig.json").write_text("{ // a comment\n}")
    (tmp_path / "chart.yaml").write_text("a: {{ .Values.a }}: b")
    (tmp_path / "old.rules").write_text("ALERT Down IF up == 0")
    (tmp_path / "broken.json").write_text('{\n"expr": "up",,}')
    assert [Path(source.file).name for source in sources([tmp_path])] == ["broken.json"]


def test_a_line_is_one_of_the_manifest(tmp_path: Path) -> None:
    inner = json.dumps(classic(panel(COUNTER)), indent=1).replace("\n", "\n    ")
    text = f"kind: ConfigMap\ndata:\n  d.json: |\n    {inner}\n"
    (tmp_path / "m.yaml").write_text(text)
    (finding,) = lint(sources([tmp_path / "m.yaml"]), world(RuleConfig()))
    assert COUNTER in text.splitlines()[finding.place.line - 1]

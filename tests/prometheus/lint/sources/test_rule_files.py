from __future__ import annotations

from datetime import timedelta

from prometheus.lint.sources.rule_files import load

TEXT = """\
groups:
  - name: quotascope-x
    interval: 2m
    rules:
      - record: a:b:c
        expr: up
      - alert: Down
        expr: up == 0
        labels: {severity: page}
        annotations:
          summary: "{{ $labels.severity }} {{ $labels.job }} {{ with $labels.instance }}{{ . }}{{ end }}"
"""


def test_rules_say_what_they_record_and_print() -> None:
    record, alert = load("r.yml", TEXT).queries
    assert (record.records, record.every, record.named) == ("a:b:c", timedelta(minutes=2), frozenset())
    assert (alert.records, alert.named) == ("", frozenset({"job"})), (
        "a label that is added, or only tried, may be missing"
    )
    assert (record.place.line, alert.place.line) == (5, 7)
    assert record.ours


def test_the_kubernetes_resource_is_unwrapped() -> None:
    inner = "\n".join("  " + line for line in TEXT.splitlines())
    source = load("r.yml", f"kind: PrometheusRule\nspec:\n{inner}\n")
    assert [query.place.panel for query in source.queries] == ["a:b:c", "Down"]


def test_rules_of_others_are_not_ours() -> None:
    assert not load("r.yml", TEXT.replace("quotascope-x", "x")).ours

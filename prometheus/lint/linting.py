"""From sources to findings: parse each query, ask every check, and look at the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import promql_parser

from prometheus.config import RuleConfig
from prometheus.lint import comments, coverage, syntax, tree, variables
from prometheus.lint.checks import (
    alerts,
    comparisons,
    counters,
    divisions,
    joins,
    labels,
    names,
    quantiles,
    units,
    windows,
)
from prometheus.lint.checks.question import Check, Question
from prometheus.lint.checks.variables import undefined_variable
from prometheus.lint.finding import Complaint, Finding, Place
from prometheus.lint.left_out import LEFT_OUT
from prometheus.lint.query import Query, Source
from prometheus.lint.schema import CLASSIC, Schema, Series, families, ours
from prometheus.lint.shape import shape

CHECKS: tuple[Check, ...] = (
    names.unknown_metric,
    names.unknown_label,
    labels.grouping_label,
    labels.lost_label,
    joins.join_label,
    joins.never_matches,
    joins.many_to_many,
    counters.counter_without_rate,
    counters.rate_of_gauge,
    quantiles.quantile_without_le,
    windows.short_range,
    divisions.empty_division,
    divisions.division_by_zero,
    comparisons.constant_comparison,
    comparisons.redundant_regexp,
    units.unit_of_rate,
    alerts.alert_without_for,
    alerts.alert_without_condition,
    alerts.alert_template,
)


@dataclass(frozen=True, slots=True)
class World:
    """What the queries are held against.

    Attributes:
        ours: what this repository exports and records: for its own files.
        others: for all other files; open where nothing is known of them.
        exported: families that have to be looked at, by the files as a whole; None asks for nothing.
    """

    ours: Schema
    others: Schema
    scrape_interval: timedelta
    exported: frozenset[str] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


def world(config: RuleConfig, others: Schema | None = None) -> World:
    """Our own files against our own metrics; all others against `others`, or against nothing."""
    mine = ours(config)
    return World(mine, others or Schema(), config.scrape_interval, families(config), LEFT_OUT)


def lint(sources: Sequence[Source], world: World) -> list[Finding]:
    """All findings, in the order of the files; those about all files come last."""
    questions: list[Question] = []
    findings = [Finding(Place(s.file), _unreadable(s)) for s in sources if s.error]
    for own in (True, False):
        queries = [query for source in sources for query in source.queries if query.ours is own]
        known = _with_recorded(world.ours if own else world.others, queries, world.scrape_interval)
        asked = [(query, _question(query, known, world.scrape_interval)) for query in queries]
        foreign = {q.place.file for q, parsed in asked if not own and parsed is None and syntax.metricsql(q)}
        victoria = not own and any(syntax.about_victoria(query) for query in queries)
        for query, question in asked:
            complaints = _complaints(query, question, query.place.file in foreign, victoria)
            findings += [Finding(query.place, c) for c in complaints]
        questions += [question for _, question in asked if question is not None]
    order = {source.file: place for place, source in enumerate(sources)}
    findings.sort(key=lambda f: (order[f.place.file], f.place.line))
    return [*findings, *_whole(sources, questions, world)]


def _unreadable(source: Source) -> Complaint:
    if source.template:
        return Complaint("unreadable-file", f"{source.error}; a template", "render it first", "hint")
    return Complaint("unreadable-file", source.error, "name a dashboard, a rule file or a page")


def _complaints(
    query: Query, question: Question | None, among_metricsql: bool, victoria: bool
) -> Iterator[Complaint]:
    found = [*undefined_variable(query)]
    if question is None:
        found.append(syntax.complaint(query, among_metricsql, victoria))
    else:
        found += [complaint for check in CHECKS for complaint in check(question)]
    yield from dict.fromkeys(comments.applied(found, comments.suppressions(query.expr)))


def _question(query: Query, schema: Schema, scrape_interval: timedelta) -> Question | None:
    """The parsed query; None where it does not parse."""
    for function in ("sum", "rate"):  # what a variable in front of a parenthesis may stand for
        try:
            tree = promql_parser.parse(variables.substituted(query, scrape_interval, function))
        except ValueError:
            continue
        return Question(query, tree, schema, scrape_interval)
    return None


def _with_recorded(schema: Schema, queries: Sequence[Query], scrape_interval: timedelta) -> Schema:
    """The schema with what these queries record. Where they record anything, they record everything."""
    recording = [query for query in queries if query.records]
    if recording:
        schema = schema.without_recorded()
    for _ in range(2):  # a rule may use what a later one records
        questions = [_question(query, schema, scrape_interval) for query in recording]
        schema = schema.plus(_recorded(question) for question in questions if question is not None)
    return schema


def _recorded(question: Question) -> Series:
    query = question.query
    labels = shape(question.tree, question.schema).labels
    labels = None if labels is None else labels | query.labels
    if ":" not in query.records:  # it may be scraped as well, under the same name
        return question.schema.find(query.records) or Series(query.records, "", guessed=True)
    kind = "counter" if query.records.endswith("_total") else "gauge"
    if not query.ours and not _is_rated(question.tree):
        kind = ""  # sums of counters, native histograms, and totals of anything are recorded, too
    return Series(query.records, kind, labels, query.records, every=query.every)


def _is_rated(expr: tree.Expr) -> bool:
    """Whether a record is surely made of numbers that may fall: rates of what is a counter by its name."""
    rated = any(isinstance(n, promql_parser.Call) and n.func.name in tree.RATES for n, _ in tree.walk(expr))
    return rated and all(selector.name.endswith(CLASSIC) for selector, _ in tree.selectors(expr))


def _whole(sources: Sequence[Source], questions: Sequence[Question], world: World) -> Iterable[Finding]:
    """What can be said only of a set that holds both rules and dashboards."""
    if {"dashboard", "rules"} <= {source.kind for source in sources}:
        yield from coverage.unused_records(questions)
        if world.exported is not None and {"dashboard", "rules"} <= {s.kind for s in sources if s.ours}:
            pages = {source.file for source in sources if source.kind == "page"}
            mine = [q for q in questions if q.query.ours and q.query.place.file not in pages]
            yield from coverage.unused_families(mine, world.ours, world.exported, world.left_out)

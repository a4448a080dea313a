"""What an alert says of itself: how long it waits, and texts that Prometheus can render."""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint
from prometheus.lint.tree import Expr

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FUNCTIONS = frozenset(
    {
        "and",
        "args",
        "block",
        "break",
        "continue",
        "define",
        "else",
        "end",
        "eq",
        "externalURL",
        "false",
        "first",
        "ge",
        "graphLink",
        "gt",
        "html",
        "humanize",
        "humanize1024",
        "humanizeDuration",
        "humanizePercentage",
        "humanizeTimestamp",
        "if",
        "index",
        "js",
        "label",
        "le",
        "len",
        "lt",
        "match",
        "ne",
        "nil",
        "not",
        "now",
        "or",
        "parseDuration",
        "pathPrefix",
        "print",
        "printf",
        "println",
        "query",
        "range",
        "reReplaceAll",
        "safeHtml",
        "slice",
        "sortByLabel",
        "stripDomain",
        "stripPort",
        "strvalue",
        "tableLink",
        "template",
        "title",
        "tmpl",
        "toDuration",
        "toLower",
        "toTime",
        "toTimestamp",
        "toUpper",
        "true",
        "urlQueryEscape",
        "urlquery",
        "value",
        "with",
    }
)
"""What a template may call, keywords included."""

_HELMS = re.compile(
    r"\.(?:Values|Release|Chart|Files)\b|\b(?:include|tpl|default|quote|squote|required|toYaml|toJson|indent|nindent"
    r"|trim|trunc|upper|lower|ternary|coalesce|lookup|replace|dict|list)\b"
)
"""What Helm fills in before Prometheus sees the text."""


def alert_without_for(question: Question) -> Iterator[Complaint]:
    """An alert waits, unless its query itself looks back over a while."""
    alert = question.query.alert
    if alert is None or alert.waits:
        return
    if any(
        isinstance(node, promql.MatrixSelector | promql.SubqueryExpr) for node, _ in tree.walk(question.tree)
    ):
        return
    yield Complaint(
        "alert-without-for",
        "it fires at the first evaluation that finds something, and resolves at the first that does not",
        "add `for`, or a range to the query",
    )


def alert_without_condition(question: Question) -> Iterator[Complaint]:
    """An alert compares, or asks whether something is there."""
    nodes = [node for node, _ in tree.walk(question.tree)]
    names = [node.name or "" for node in nodes if isinstance(node, promql.VectorSelector)]
    if question.query.alert is None or not names or any(_asks(node) for node in nodes):
        return
    if any(isinstance(node, promql.BinaryExpr) and str(node.op) in tree.COMPARISONS for node in nodes):
        yield Complaint(
            "alert-without-condition",
            "bool makes the comparison 0 or 1, and an alert fires for either",
            "take bool away, or compare the result: == 1",
            "error",
        )
    elif not any(":" in name or name.startswith("ALERTS") for name in names):
        yield Complaint(
            "alert-without-condition",
            "it compares nothing, so it fires for every series, whatever its value",
            "compare: > 0, for example; where the series itself is the news, say so with count(...) > 0",
        )


def _asks(node: Expr) -> bool:
    """Whether a part of a query may answer nothing although its series are there."""
    if isinstance(node, promql.BinaryExpr):
        bool_ = node.modifier is not None and node.modifier.return_bool
        return str(node.op) in tree.SET_OPERATORS or (str(node.op) in tree.COMPARISONS and not bool_)
    return isinstance(node, promql.Call) and str(node.func.name).startswith("absent")


def alert_template(question: Question) -> Iterator[Complaint]:
    """Templates of labels and annotations are ones that Prometheus can render."""
    alert = question.query.alert
    for text in alert.templates if alert is not None else ():
        reason = _fault(text)
        if reason:
            yield Complaint("alert-template", reason, "see Prometheus' template reference")
        elif text.count("}}") > text.count("{{"):
            yield Complaint("alert-template", f"}}}} stands in {text[:60]!r} as it is", "take it out", "hint")


def _fault(text: str) -> str:
    if text.count("{{") > text.count("}}"):
        return f"{{{{ and }}}} do not match in {text[:60]!r}"
    for action in _ACTION.findall(text):
        words = re.sub(r'"(?:\\.|[^"\\])*"|`[^`]*`|[$.][\w.]*|\b\d[\w.]*', " ", action)
        unknown = [
            w for w in re.findall(r"[A-Za-z_]\w*", words) if w not in _FUNCTIONS | {"true", "false", "nil"}
        ]
        if unknown and "/*" not in action and not _HELMS.search(action):
            return f"{{{{{action.strip()}}}}}: there is no function {unknown[0]}"
    opened = sum(bool(re.match(r"-?\s*(?:if|range|with|define|block)\b", a)) for a in _ACTION.findall(text))
    closed = sum(bool(re.match(r"-?\s*end\b", a)) for a in _ACTION.findall(text))
    return "" if opened == closed else f"{opened} blocks are opened and {closed} ended in {text[:60]!r}"

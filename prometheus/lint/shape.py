"""Which labels the result of an expression has, followed from the selectors up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import promql_parser as promql

from prometheus.lint import tree
from prometheus.lint.schema import Schema
from prometheus.lint.tree import Expr


@dataclass(frozen=True, slots=True)
class Shape:
    """The labels of a result.

    Attributes:
        labels: those that it may have; None where nobody knows.
        fixed: labels with one value alone, by a matcher: every series has them, also where the others are
            not known.
        determined: labels that follow from others and tell no two series apart.
        jobs: who may have exported it; empty where nobody knows.
        sometimes: labels that one side of an `or` alone has.
    """

    labels: frozenset[str] | None
    fixed: Mapping[str, str] = field(default_factory=dict)
    determined: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    sometimes: frozenset[str] = frozenset()

    @property
    def key(self) -> frozenset[str]:
        return (self.labels or frozenset()) - frozenset(self.fixed) - self.determined

    def kept(self, labels: frozenset[str]) -> Shape:
        fixed = {k: v for k, v in self.fixed.items() if k in labels}
        if self.labels is None:
            return Shape(labels, fixed)
        still = self.labels & labels
        determined = self.determined & still if "account_id" in still else frozenset()
        return Shape(still, fixed, determined, self.jobs)

    def without(self, labels: frozenset[str]) -> Shape:
        if self.labels is None:
            return Shape(None, {k: v for k, v in self.fixed.items() if k not in labels})
        return self.kept(self.labels - labels)


UNKNOWN = Shape(None)
NOTHING = Shape(frozenset())


def shape(expr: Expr, schema: Schema) -> Shape:
    expr = tree.bare(expr)
    match expr:
        case promql.VectorSelector():
            return _selector(expr, schema)
        case promql.MatrixSelector():
            return _selector(expr.vector_selector, schema)
        case promql.SubqueryExpr() | promql.UnaryExpr():
            return shape(expr.expr, schema)
        case promql.Call():
            return _call(expr, schema)
        case promql.AggregateExpr():
            return _aggregate(expr, schema)
        case promql.BinaryExpr():
            return _binary(expr, schema)
        case _:
            return NOTHING


def _selector(selector: Expr, schema: Schema) -> Shape:
    series = schema.find(selector.name) if selector.name else None
    equal = {m.name: m.value for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal}
    if series is None or series.labels is None:
        return Shape(None, {k: v for k, v in equal.items() if v and k != "__name__"})
    present = series.labels - {name for name, value in equal.items() if not value}
    fixed = {name: value for name, value in equal.items() if name in present}
    return Shape(present, fixed, series.determined, frozenset({series.job} - {""}))


def _call(call: Expr, schema: Schema) -> Shape:
    name = str(call.func.name)
    if name in ("absent", "absent_over_time"):
        return _absent(tree.bare(call.args[0]))
    if name == "info":  # brings labels of its own
        return UNKNOWN
    vectors = [arg for arg in call.args if not tree.is_scalar(arg)]
    if not vectors or name in ("vector", "scalar"):
        return NOTHING
    inner = shape(vectors[-1] if name.startswith("histogram_") else vectors[0], schema)
    if name in ("label_replace", "label_join"):
        return _with_label(inner, call.args[1].val)
    if name.startswith("histogram_"):
        return inner.without(frozenset({"le"}))
    return inner


def _absent(selector: Expr) -> Shape:
    """What is absent has the labels that it was asked for with `=`."""
    selector = getattr(selector, "vector_selector", selector)
    if not isinstance(selector, promql.VectorSelector):
        return NOTHING
    equal = {m.name: m.value for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal}
    return Shape(frozenset(equal), equal)


def _with_label(inner: Shape, label: str) -> Shape:
    fixed = {k: v for k, v in inner.fixed.items() if k != label}
    return replace(inner, labels=None if inner.labels is None else inner.labels | {label}, fixed=fixed)


def _aggregate(aggregate: Expr, schema: Schema) -> Shape:
    inner = shape(aggregate.expr, schema)
    kind, labels = tree.grouping(aggregate)
    operator = str(aggregate.op)
    if operator in ("topk", "bottomk", "limitk", "limit_ratio"):
        return _picked(aggregate, inner, labels if kind == "by" else None)
    if kind == "without":
        return inner.without(labels)
    kept = inner.kept(labels)
    return _with_label(kept, aggregate.param.val) if operator == "count_values" else kept


def _picked(aggregate: Expr, inner: Shape, by: frozenset[str] | None) -> Shape:
    """Of `topk(1, ...)` one series is left in each group: the other labels follow from the group's."""
    one = isinstance(aggregate.param, promql.NumberLiteral) and aggregate.param.val == 1
    if not one or by is None or inner.labels is None:
        return inner
    return replace(inner, determined=inner.determined | (inner.labels - by))


def _binary(operator: Expr, schema: Schema) -> Shape:
    if tree.is_scalar(operator.lhs):
        return NOTHING if tree.is_scalar(operator.rhs) else shape(operator.rhs, schema)
    left = shape(operator.lhs, schema)
    if tree.is_scalar(operator.rhs):
        return left
    right = shape(operator.rhs, schema)
    if str(operator.op) in tree.SET_OPERATORS:
        return _either(left, right) if str(operator.op) == "or" else left
    return _joined(operator, left, right)


def _either(left: Shape, right: Shape) -> Shape:
    if left.labels is None or right.labels is None:
        return UNKNOWN
    fixed = {k: v for k, v in left.fixed.items() if right.fixed.get(k) == v}
    determined = left.determined & right.determined
    sometimes = left.sometimes | right.sometimes | (left.labels ^ right.labels)
    return Shape(left.labels | right.labels, fixed, determined, left.jobs | right.jobs, sometimes)


def _joined(operator: Expr, left: Shape, right: Shape) -> Shape:
    side, brought = tree.group_side(operator)
    if side:
        many, one = (left, right) if side == "group_left" else (right, left)
        if many.labels is None:
            return UNKNOWN
        follow = many.determined | (brought & one.determined) | (brought - many.labels)
        return replace(many, labels=many.labels | brought, determined=follow)
    kind, labels = tree.matching(operator)
    if kind == "on":
        return left.kept(labels)
    return left.without(labels)

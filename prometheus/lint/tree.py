"""The syntax tree that promql-parser makes, walked with each node's ancestors at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser as promql

Expr = Any
"""A node; promql-parser comes without types."""

Ancestors = tuple[Expr, ...]

RATES = frozenset({"rate", "irate", "increase", "resets"})
"""Functions that know that a counter falls to 0."""

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})

SET_OPERATORS = frozenset({"and", "or", "unless"})


def children(expr: Expr) -> tuple[Expr, ...]:
    match expr:
        case promql.AggregateExpr():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case promql.BinaryExpr():
            return (expr.lhs, expr.rhs)
        case promql.Call():
            return tuple(expr.args)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return (expr.expr,)
        case promql.MatrixSelector():
            return (expr.vector_selector,)
        case _:
            return ()


def walk(expr: Expr, above: Ancestors = ()) -> Iterator[tuple[Expr, Ancestors]]:
    """Every node with its ancestors, the nearest last."""
    yield expr, above
    for child in children(expr):
        yield from walk(child, (*above, expr))


def selectors(expr: Expr) -> Iterator[tuple[Expr, Ancestors]]:
    for node, above in walk(expr):
        if isinstance(node, promql.VectorSelector) and node.name:
            yield node, above


def bare(expr: Expr) -> Expr:
    """The expression without the parentheses around it."""
    while isinstance(expr, promql.ParenExpr):
        expr = expr.expr
    return expr


def is_scalar(expr: Expr) -> bool:
    """Whether it is a number rather than series."""
    expr = bare(expr)
    match expr:
        case promql.NumberLiteral() | promql.StringLiteral():
            return True
        case promql.Call():
            return str(expr.func.name) in ("scalar", "time", "pi")
        case promql.UnaryExpr():
            return is_scalar(expr.expr)
        case promql.BinaryExpr():
            return is_scalar(expr.lhs) and is_scalar(expr.rhs)
        case _:
            return False


def operators(expr: Expr) -> Iterator[Expr]:
    """Every operator between two sides that are both series."""
    for node, _ in walk(expr):
        if isinstance(node, promql.BinaryExpr) and not (is_scalar(node.lhs) or is_scalar(node.rhs)):
            yield node


def grouping(aggregate: Expr) -> tuple[str, frozenset[str]]:
    """An aggregation's `by` or `without`, with its labels; without either it is `by ()`."""
    if aggregate.modifier is None:
        return "by", frozenset()
    kind = "by" if aggregate.modifier.type == promql.AggModifierType.By else "without"
    return kind, frozenset(aggregate.modifier.labels)


def matching(operator: Expr) -> tuple[str, frozenset[str]]:
    """An operator's `on` or `ignoring`, with its labels; without either it is `ignoring ()`."""
    modifier = operator.modifier
    if modifier is None or modifier.matching is None:
        return "ignoring", frozenset()
    kind = "on" if modifier.matching.type == promql.LabelModifierType.Include else "ignoring"
    return kind, frozenset(modifier.matching.labels)


def group_side(operator: Expr) -> tuple[str, frozenset[str]]:
    """`group_left` or `group_right` with the labels that it brings along, or "" and none."""
    modifier = operator.modifier
    if modifier is not None and modifier.card == promql.VectorMatchCardinality.ManyToOne:
        return "group_left", frozenset(modifier.group_labels or ())
    if modifier is not None and modifier.card == promql.VectorMatchCardinality.OneToMany:
        return "group_right", frozenset(modifier.group_labels or ())
    return "", frozenset()

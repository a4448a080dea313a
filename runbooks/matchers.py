"""What to delete: series selectors from a model's name, an account's id, or as they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import promql_parser

from prometheus.promql import equal
from runbooks.errors import MatcherError


def selector(models: Iterable[str], accounts: Iterable[str], given: Iterable[str]) -> tuple[str, ...]:
    """All selectors.

    Raises: MatcherError where there is none, or one that would match everything (PromQL knows no such).
    """
    by_label = [("model", model) for model in models] + [("account_id", account) for account in accounts]
    for label, value in by_label:
        if not value:
            raise MatcherError(f"an empty {label} matches whatever has none: name one")
    found = (*(f"{{{equal(*pair)}}}" for pair in by_label), *map(_checked, given))
    if not found:
        raise MatcherError("nothing to delete by: name --model, --account or --matcher")
    return found


def parsed(matcher: str) -> Any:
    """The syntax tree; promql-parser's types stop at its base class.

    Raises: ValueError.
    """
    return promql_parser.parse(matcher)


def narrowed(matcher: str, family: str) -> str:
    tree = parsed(matcher)
    if tree.name:
        return matcher
    return f"{{{equal('__name__', family)},{matcher.strip()[1:]}"


def _checked(text: str) -> str:
    try:
        tree = parsed(text)
    except ValueError as error:
        raise MatcherError(f"--matcher {text}: {error}") from error
    if not isinstance(tree, promql_parser.VectorSelector) or tree.offset or tree.at:
        raise MatcherError(f'--matcher {text}: allowed: a series selector, like up{{job="old"}}')
    if tree.matchers.or_matchers:
        raise MatcherError(f"--matcher {text}: `or` is not allowed; give --matcher twice")
    return text

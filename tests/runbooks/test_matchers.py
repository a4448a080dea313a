from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.errors import MatcherError
from runbooks.matchers import matches, narrowed, parsed, selector


@given(st.text(min_size=1))
def test_any_name_is_selected_as_it_stands(model: str) -> None:
    (matcher,) = selector([model], [], [])
    assert matches(matcher, {"model": model})
    assert not matches(matcher, {"model": model + "x"})
    assert not matches(matcher, {})


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        ('{model="m"}', '{__name__="x",model="m"}'),
        (' { model="m", job!="a" } ', '{__name__="x", model="m", job!="a" }'),
        ('y{model="m"}', 'y{model="m"}'),
    ],
)
def test_a_selector_is_narrowed_to_one_metric(matcher: str, expected: str) -> None:
    assert narrowed(matcher, "x") == expected
    parsed(expected)


@pytest.mark.parametrize(
    ("matcher", "matched"),
    [
        ('x{a="1"}', True),
        ('y{a="1"}', False),
        ('x{a=~"1|2"}', True),
        ('x{a=~"."}', True),
        ('x{a=~"12"}', False),
        ('x{a!="2"}', True),
        ('x{a!~"1.*"}', False),
        ('x{b=""}', True),
    ],
)
def test_matchers_are_anchored_and_a_missing_label_is_empty(matcher: str, matched: bool) -> None:
    assert matches(matcher, {"__name__": "x", "a": "1"}) == matched


def test_without_a_selector_nothing_is_deleted() -> None:
    with pytest.raises(MatcherError, match="name --model"):
        selector([], [], [])

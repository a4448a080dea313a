from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.__main__ import main
from runbooks.errors import MatcherError
from runbooks.matchers import narrowed, parsed, selector


@given(st.text(min_size=1))
def test_any_name_is_selected_as_it_stands(model: str) -> None:
    (matcher,) = selector([model], [], [])
    (condition,) = parsed(matcher).matchers.matchers
    assert (condition.name, str(condition.op), condition.value) == ("model", "MatchOp.Equal", model)


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


def test_without_a_selector_nothing_is_deleted() -> None:
    with pytest.raises(MatcherError, match="name --model"):
        selector([], [], [])


def test_an_address_of_prometheus_that_is_none_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for url in ("http://[", "http://x:99999", "127.0.0.1:9090"):
        assert main(["cleanup-series", "--model", "x", "--prometheus", url]) == 2
        assert f"runbooks: --prometheus {url}: allowed: " in capsys.readouterr().err

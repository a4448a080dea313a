"""Many cases in one test fail as many tests would, and say where."""

from __future__ import annotations

import pytest

from tests.support.cases import each


@each("number", [1, 2, 3])
@each(("text", "length"), [("a", 1), ("bb", 2)])
def test_each_case_is_tried_with_fixtures_beside(
    number: int, text: str, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    print(text * number)
    assert len(capsys.readouterr().out.strip()) == number * length


def test_what_fails_says_with_what() -> None:
    tried = []

    @each("number", [1, 2, 3])
    def test(number: int) -> None:
        tried.append(number)
        assert number != 2

    with pytest.raises(AssertionError) as caught:
        test()
    assert (tried, caught.value.__notes__) == ([1, 2], ["with number = 2"])

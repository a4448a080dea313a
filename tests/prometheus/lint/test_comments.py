from __future__ import annotations

from prometheus.lint.comments import applied, suppressions
from prometheus.lint.finding import Complaint

SHORT, RATE = Complaint("short-range", "r", "f"), Complaint("rate-of-gauge", "r", "f")


def rules(expr: str, *complaints: Complaint) -> list[str]:
    return [complaint.rule for complaint in applied(complaints, suppressions(expr))]


def test_a_reason_silences_one_rule() -> None:
    assert rules("x # lint-ignore short-range: slow scrapes", SHORT, RATE) == ["rate-of-gauge"]


def test_several_comments_silence_several_rules() -> None:
    expr = "# lint-ignore short-range: a\nx # lint-ignore rate-of-gauge: b"
    assert rules(expr, SHORT, RATE) == []


def test_without_a_reason_nothing_is_silenced() -> None:
    assert rules("x # lint-ignore short-range:  ", SHORT) == ["short-range", "bare-suppression"]


def test_what_silences_nothing_is_named() -> None:
    assert rules("x # lint-ignore short-range: a", RATE) == ["rate-of-gauge", "unused-suppression"]

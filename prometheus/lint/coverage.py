"""What only all files together can tell: recorded and not used, exported and not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus.lint import tree
from prometheus.lint.checks.question import Question
from prometheus.lint.finding import Complaint, Finding, Place
from prometheus.lint.schema import Schema

WHOLE = Place("all files")


def unused_records(questions: Sequence[Question]) -> Iterator[Finding]:
    """Every recorded name is asked for, by a panel, an alert, a page or another rule."""
    used = {name for question in questions for name in _asked(question) if name != question.query.records}
    for question in questions:
        name = question.query.records
        if name and name not in used:
            yield Finding(
                question.query.place,
                Complaint("unused-record", f"nothing asks for {name}", "use it, or record it no longer"),
            )


def unused_families(
    questions: Iterable[Question], schema: Schema, exported: Iterable[str], left_out: Mapping[str, str]
) -> Iterator[Finding]:
    """Every exported family is charted or alerted on, through recorded names too, or left out on purpose.

    Args:
        exported: names of families.
        left_out: families that nobody needs to see, with the reason.
    """
    looked_at = _families(questions, schema)
    for family in sorted(set(exported) - looked_at - left_out.keys()):
        yield Finding(
            WHOLE,
            Complaint(
                "unused-family",
                f"{family} is exported, and nothing shows it or alerts on it",
                "chart it, alert on it, or list it in prometheus/lint/left_out.py with the reason",
            ),
        )
    for family in sorted(left_out.keys() & looked_at):
        yield Finding(
            WHOLE,
            Complaint("stale-left-out", f"{family} is listed as left out, and used", "take it off the list"),
        )


def _asked(question: Question) -> Iterator[str]:
    for selector, _ in tree.selectors(question.tree):
        yield selector.name


def _families(questions: Iterable[Question], schema: Schema) -> set[str]:
    """Families that something looks at. What a rule records counts where the recorded name is looked at."""
    recorded: dict[str, set[str]] = {}
    shown: set[str] = set()
    for question in questions:
        if question.query.records:
            recorded.setdefault(question.query.records, set()).update(_asked(question))
        elif not question.query.lists:
            shown.update(_asked(question))
    for _ in recorded:  # rules may record from what others recorded
        shown |= {name for record in recorded.keys() & shown for name in recorded[record]}
    known = (schema.find(name) for name in shown)
    return {series.family for series in known if series is not None}

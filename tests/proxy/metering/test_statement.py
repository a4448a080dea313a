"""What several events of one stream say together: what restates changes nothing, in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.values import Usage
from proxy.metering.numbers import MAX_TOKENS, Numbers
from proxy.metering.shapes import statement
from proxy.metering.statement import Statement, over

COUNT = st.integers(1, 10**6)


def read(usage: dict[str, object], api: str = "messages") -> Statement:
    return statement(usage, api, Numbers())


def together(events: list[dict[str, object]], api: str = "messages") -> Usage:
    said: Statement | None = None
    for event in events:
        said = over(read(event, api), said)
    assert said is not None
    return said.usage


@st.composite
def anthropic(draw: st.DrawFn) -> tuple[dict[str, object], list[dict[str, object]]]:
    """A complete statement in Anthropic's words, and events that restate it, or parts of it."""
    uncached, hour, minutes, output = draw(COUNT), draw(COUNT), draw(COUNT), draw(COUNT)
    cached = draw(COUNT.filter(lambda n: n != uncached))
    counts: dict[str, object] = {
        "input_tokens": uncached,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": hour + minutes,
        "cache_creation": {"ephemeral_5m_input_tokens": minutes, "ephemeral_1h_input_tokens": hour},
        "output_tokens": output,
    }
    whole = {**counts, "input_tokens": uncached + cached + hour + minutes}
    parts: list[dict[str, object]] = [
        counts,
        {k: v for k, v in counts.items() if k != "cache_creation"},
        {"output_tokens": output},
        {"input_tokens": uncached, "output_tokens": output},
        {"input_tokens": uncached, "cache_read_input_tokens": 0, "output_tokens": output},
        {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output},
        {"cache_read_input_tokens": 0, "output_tokens": output},
        {"cache_read_input_tokens": cached},
        {"input_tokens": None, "output_tokens": None},
        {"input_tokens": whole["input_tokens"], "output_tokens": output},
        {},
    ]
    return counts, draw(st.lists(st.sampled_from(parts), max_size=6))


Drawn = st.SearchStrategy
COUNTS = st.sampled_from([None, 0, 1, 7, 100, MAX_TOKENS])
VALUES = COUNTS | st.sampled_from([MAX_TOKENS + 1, -1, True, 100.0, 1.5, "7", [1]])


def usages(
    values: st.SearchStrategy[object], *sides: tuple[str, str]
) -> st.SearchStrategy[dict[str, object]]:
    """Usage by the names of some sides of a request: input and output."""
    named: dict[str, Drawn[object]] = {"total_tokens": values}
    for into, out in sides:
        ins = st.fixed_dictionaries({}, optional={"cached_tokens": values, "audio_tokens": values})
        outs = st.fixed_dictionaries({}, optional={"reasoning_tokens": values, "audio_tokens": values})
        named |= {f"{into}_tokens": values, f"{out}_tokens": values}
        named |= {f"{into}_tokens_details": ins | values, f"{out}_tokens_details": outs | values}
    return st.fixed_dictionaries({}, optional=named)


OF_CHAT, OF_RESPONSES = ("prompt", "completion"), ("input", "output")
BOTH = (OF_CHAT, OF_RESPONSES)
USAGE = st.one_of(
    *(usages(values, side) for side in BOTH for values in (COUNTS, VALUES)), usages(VALUES, *BOTH)
)


@example("chat_completions", {"prompt_tokens": -1})
@example("responses", {"output_tokens": MAX_TOKENS + 1})
@example("chat_completions", {"completion_tokens": True})
@given(st.sampled_from(["chat_completions", "responses"]), USAGE)
def test_a_name_that_nobody_knows_changes_nothing(api: str, usage: dict[str, object]) -> None:
    """Without one, counts of text alone are read in a shorter way."""
    plain, other = Numbers(), Numbers()
    assert statement(usage, api, plain) == statement({**usage, "unknown": 1}, api, other)
    assert plain.nonsense == other.nonsense


@given(anthropic(), st.randoms())
@pytest.mark.slow
def test_restating_changes_nothing_in_whatever_order(
    said: tuple[dict[str, object], list[dict[str, object]]], random: object
) -> None:
    complete, more = said
    events = [complete, *more]
    random.shuffle(events)  # type: ignore[attr-defined]
    assert together(events) == read(complete).usage


@st.composite
def openai(draw: st.DrawFn) -> tuple[dict[str, object], list[dict[str, object]]]:
    whole, output = draw(COUNT), draw(COUNT)
    hidden = draw(st.integers(0, 10**6))
    counts: dict[str, object] = {
        "prompt_tokens": whole,
        "completion_tokens": output,
        "total_tokens": whole + output + hidden,
        "prompt_tokens_details": {"cached_tokens": draw(st.integers(1, whole))},
        "completion_tokens_details": {"reasoning_tokens": hidden},
    }
    parts: list[dict[str, object]] = [
        counts,
        {"prompt_tokens": whole, "completion_tokens": 0},
        {"prompt_tokens": whole},
        {"completion_tokens": output},
        {"prompt_tokens": 0, "completion_tokens": None},
        {},
    ]
    return counts, draw(st.lists(st.sampled_from(parts), max_size=6))


@given(openai(), st.randoms())
def test_the_same_in_openais_words(
    said: tuple[dict[str, object], list[dict[str, object]]], random: object
) -> None:
    complete, more = said
    events = [complete, *more]
    random.shuffle(events)  # type: ignore[attr-defined]
    assert together(events, "chat_completions") == read(complete, "chat_completions").usage


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(
            [
                {"input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 1},
                {"cache_read_input_tokens": 0, "output_tokens": 20},
            ],
            Usage(910, 20, 900),
            id="a 0 beside nothing",
        ),
        pytest.param(
            [
                {"input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 1},
                {"input_tokens": 40, "cache_read_input_tokens": 0, "output_tokens": 20},
            ],
            Usage(40, 20, 0),
            id="a complete correction",
        ),
        pytest.param(
            [
                {"input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 1},
                {"input_tokens": 40, "output_tokens": 20},
            ],
            Usage(940, 20, 900),
            id="the uncached part corrected",
        ),
        pytest.param(
            [
                {"input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 1},
                {"input_tokens": 2000, "output_tokens": 20},
            ],
            Usage(2000, 20, 900),
            id="the whole corrected",
        ),
        pytest.param(
            [
                {"input_tokens": 1000, "output_tokens": 1},
                {"input_tokens": 0, "cache_read_input_tokens": 910, "output_tokens": 20},
            ],
            Usage(910, 20, 910),
            id="an estimate, then all from the cache",
        ),
        pytest.param(
            [{"output_tokens": 1}, {"output_tokens": 7}, {"output_tokens": 20}],
            Usage(None, 20),
            id="output that grows",
        ),
    ],
)
def test_the_last_complete_statement_holds(events: list[dict[str, object]], expected: Usage) -> None:
    assert together(events) == expected


NAMES = st.sampled_from(
    [
        *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        *("prompt_tokens", "completion_tokens", "total_tokens"),
    ]
)
VALUES = st.none() | st.integers(-5, 2**50) | st.floats() | st.text(max_size=3) | st.booleans()


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=5), min_size=1, max_size=5))
def test_whatever_is_said_no_count_is_beyond_measure(events: list[dict[str, object]]) -> None:
    usage = together(events)
    for count in (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens):
        assert count is None or 0 <= count <= 4 * MAX_TOKENS


@pytest.mark.parametrize(
    ("value", "count", "nonsense"),
    [
        (None, None, 0),
        (0, 0, 0),
        (7, 7, 0),
        (100.0, 100, 0),
        (MAX_TOKENS, MAX_TOKENS, 0),
        (MAX_TOKENS + 1, None, 1),
        (2**48, None, 1),
        (-1, None, 1),
        (1.5, None, 1),
        (float("nan"), None, 1),
        (float("inf"), None, 1),
        (True, None, 1),
        ("7", None, 1),
        ([], None, 1),
    ],
)
def test_a_count(value: object, count: int | None, nonsense: int) -> None:
    numbers = Numbers()
    assert numbers.count(value) == count
    assert numbers.nonsense == nonsense

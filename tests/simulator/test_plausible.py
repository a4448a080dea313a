"""A plausible provider: other answers to other requests, the same ones to the same."""

from __future__ import annotations

import pytest

from simulator.history.workload import WORKLOADS
from simulator.provider.plausible import MAX_EVENTS, Plausible
from simulator.provider.script import Asked, Cut, Refuse


def asked(number: int, model: str = "gpt-6.1-sol", stream: bool = True) -> Asked:
    return Asked(number, "responses", model, stream, None)


def test_the_same_request_gets_the_same_answer() -> None:
    assert Plausible().answer(asked(3)) == Plausible().answer(asked(3))
    assert Plausible().answer(asked(3)) != Plausible().answer(asked(4))
    assert Plausible().answer(asked(3)) != Plausible(seed=2).answer(asked(3))


def test_shares_are_as_asked() -> None:
    play = Plausible(errors=0.2, cut=0.1, missing_usage=0.3)
    answers = [play.answer(asked(n)) for n in range(3_000)]
    assert sum(isinstance(a.fault, Refuse) for a in answers) == pytest.approx(600, rel=0.12)
    assert sum(isinstance(a.fault, Cut) for a in answers) == pytest.approx(300, rel=0.15)
    assert sum(not a.reports_usage for a in answers) == pytest.approx(900, rel=0.1)


@pytest.mark.parametrize("model", [*(w.model for w in WORKLOADS), "nobody-knows"])
def test_times_and_counts_make_sense(model: str) -> None:
    for number in range(200):
        answer = Plausible().answer(asked(number, model))
        assert 1 <= answer.events <= MAX_EVENTS
        assert answer.pace.first > 0
        assert answer.pace.between >= 0
        assert (answer.usage.input_tokens or 0) > 0


def test_speed_shortens_every_pause() -> None:
    slow, fast = Plausible(), Plausible(speed=10)
    for number in range(20):
        one, other = slow.answer(asked(number)), fast.answer(asked(number))
        assert other.pace.first == pytest.approx(one.pace.first / 10)
        assert other.pace.between == pytest.approx(one.pace.between / 10)
        assert other.usage == one.usage


def test_an_answer_that_is_no_stream_takes_all_of_its_time_at_once() -> None:
    answer = Plausible().answer(asked(1, stream=False))
    assert answer.pace.between == 0

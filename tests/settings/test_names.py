"""What is kept by name, whoever chooses the names."""

from __future__ import annotations

from settings.names import MAX_LENGTH, MAX_NAMES, Names


def test_names_of_any_number_and_length_take_little_memory() -> None:
    asked: list[str] = []

    def decide(name: str) -> int:
        asked.append(name)
        return len(name)

    known = Names(decide)
    for number in range(3 * MAX_NAMES):
        assert known[f"x-{number}"] == len(f"x-{number}")
        assert len(known) <= MAX_NAMES
    known.clear()
    for number in range(10):
        assert known["x" * (MAX_LENGTH + number)] == MAX_LENGTH + number
    assert [len(name) for name in known] == [MAX_LENGTH]
    asked.clear()
    assert (known["x" * MAX_LENGTH], asked) == (MAX_LENGTH, [])

"""Nothing of a key beyond its mask, nothing of a request in an error message."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.metering.privacy import MOST_MESSAGE, mask_key, safe_message


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (None, "unknown"),
        ("", "unknown"),
        ("12345678", "short_key"),
        ("123456789", "1234...6789"),
        ("sk-proj-0123456789abcdef", "sk-p...cdef"),
    ],
)
def test_mask_key(key: str | None, shown: str) -> None:
    assert mask_key(key) == shown


@given(st.text(min_size=9))
@settings(deadline=None)
def test_a_mask_holds_eight_characters_of_the_key_at_most(key: str) -> None:
    assert len(mask_key(key)) == 11
    assert key not in mask_key(key)


PROVIDER_TEXTS = [
    ("Rate limit reached. Please try again in 2 s.", "Rate limit reached. Please try again in 2 s."),
    ("Incorrect API key provided: sk-abc1**********wxyz.", "Incorrect API key provided: [...]"),
    ("Invalid value: 'my diagnosis'. Use 'auto'.", "Invalid value: [...]"),
    ("Bearer abc.def-ghi is not valid", "[...] is not valid"),
    ("contact me@example.org now", "contact [...] now"),
    ("token eyJhbGciOi.eyJzdWIi.c2ln expired", "token [...] expired"),
    ("the model's limit isn't reached", "the model's limit isn't reached"),
    ("two\nlines\tand\x00more", None),
    ("id 0123456789abcdef0123456789abcdef", "id [...]"),
]


@pytest.mark.parametrize(("text", "kept"), PROVIDER_TEXTS)
def test_what_is_kept_of_a_provider_s_text(text: str, kept: str | None) -> None:
    found = safe_message(text)
    assert found is not None
    assert "\n" not in found
    if kept is not None:
        assert found.startswith(kept)


SECRET = st.text(alphabet="abcdefgh XYZ.,-_!?", min_size=12, max_size=60).filter(lambda s: s.strip() == s)


@given(SECRET, st.sampled_from(['"{}"', "`{}`", "'{}'", "\u201c{}\u201d"]))
@settings(deadline=None)
def test_what_a_provider_quotes_is_not_kept(secret: str, quotes: str) -> None:
    found = safe_message(f"Invalid value: {quotes.format(secret)}. Supported values are other ones.")
    assert found == "Invalid value: [...]"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            'Invalid value: "' + "my diagnosis " * 1_000 + '".',
            id="longer than what is looked at",
        ),
        pytest.param(
            "Invalid value: 'it's my diagnosis'.",
            id="an apostrophe inside",
        ),
        pytest.param(
            'Unknown parameter: "my diagnosis',
            id="a quote that the provider cut",
        ),
        'Invalid JSON: {"input": "my diagnosis"}',
        "Invalid 'input[0].text': 'my diagnosis'",
    ],
)
def test_no_quote_gets_through(text: str) -> None:
    assert "diagnosis" not in (safe_message(text) or "")


KEYS = [
    "sk-proj-Abc_123-xyz0",
    "sk-ant-api03-abcdefgh",
    "ghp_abcdefghijkl",
    "AIzaSyA-0123456789",
    "hf_abcdefgh",
    "xoxb-123-abc",
    "sess-12345678",
]


@given(st.sampled_from(KEYS), st.sampled_from(["key {}", "({})", "key={},", "{} and more", "x: {}."]))
@settings(deadline=None)
def test_no_key_gets_through(key: str, frame: str) -> None:
    assert key not in (safe_message(frame.format(key)) or "")


@given(st.one_of(st.none(), st.integers(), st.lists(st.text()), st.text(), st.text(alphabet="'\"`a. @sk-")))
@settings(deadline=None)
def test_whatever_comes_it_is_short_or_nothing(text: object) -> None:
    found = safe_message(text)
    assert found is None or (isinstance(text, str) and len(found) <= MOST_MESSAGE)


@pytest.mark.parametrize("text", ["a." * 50_000, "'a " * 50_000, "sk-" * 50_000, "@" * 50_000, "a@" * 50_000])
def test_no_text_takes_long(text: str) -> None:
    begun = perf_counter()
    safe_message(text)
    assert perf_counter() - begun < 0.5

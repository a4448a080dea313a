"""Nothing of a key beyond its mask, nothing of a request in an error message."""

from __future__ import annotations

import json
import timeit
import unicodedata
from collections.abc import Callable
from time import process_time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.privacy import (
    GONE,
    MAX_MESSAGE,
    mask_key,
    raw_body,
    safe_code,
    safe_message,
    unaccented,
    without,
    worded_code,
)
from tests.support.cases import each


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


SHAPES = {
    "openai": "sk-proj-Abc_123-xyz0",
    "openai short": "sk-Ab3dEf6h",
    "anthropic": "sk-ant-api03-abcdefgh",
    "openrouter": "sk-or-v1-0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "groq": "gsk_0123456789abcdefCANARY",
    "xai": "xai-0123456789CANARY",
    "nvidia": "nvapi-012345CANARY",
    "perplexity": "pplx-0a1b2c3d4e5f60718293",
    "replicate": "r8_Ab12Cd34Ef56Gh78Ij90",
    "cerebras": "csk-92ab4d6h8k2m4p6r8t2v4x6z",
    "together": "tgp_v1_Q1w2E3r4T5y6U7i8O9p0",
    "google": "AIzaSyA-0123456789",
    "google login": "ya29.a0AfH6SMBx-Ab_12",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "azure": "0123456789abcdef0123456789abcdef",
    "mistral": "Zq8Xw3Rt6Yp1Lm9Nk4Vb7Cd2Fg5Hj0Ks",
    "lepton": "kf92hs7dj3ls82hd",
    "uuid": "f47ac10b-58cc-4372-a567-0e02b2CANARY",
    "uuid plain": "F47AC10B-58CC-4372-A567-0E02B2C3D479",
    "github": "ghp_abcdefghijkl",
    "hugging face": "hf_abcdefgh",
    "slack": "xoxb-123-abc",
    "session": "sess-12345678",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "letters": "qWeRtYuIoPaSdFgHjKlZ",
    "base64": "q83vEjRWeJq83+/EjRWeJq83vEjRWeJo=",
    "e-mail": "someone.else@mail.invalid",
}
FRAMES = [
    "Incorrect API key provided: {}. Check it.",
    "Incorrect API key provided:{}",
    "({}) is not valid",
    "key={}, and more",
    "no access for {} here",
    "{}",
    "[{}]",
    "two\nlines {}\nof text",
    "authorization: Bearer {}",
    "Authorization=Bearer {} in /v1/responses",
    "https://example.org/v1/x?key={}&alt=sse",
    "token/{}/expired",
    "<b>{}</b>",
    "Invalid header x-api-key: {}",
]


@each("frame", FRAMES)
@each("secret", SHAPES.values())
def test_no_shape_of_a_key_gets_through(secret: str, frame: str) -> None:
    found = safe_message(frame.format(secret))
    assert found is not None
    assert GONE in found
    for at in range(len(secret) - 7):
        assert secret[at : at + 8] not in found.replace("provided", "")


NAMED = [
    ("x-api-key=my-word in /v1", "my-word"),
    ("api_key: hunter", "hunter"),
    ("Cookie: theme=dark; sid=letmein; more", "letmein"),
    ("set-cookie=anna", "anna"),
    ("Authorization: Basic YTpi", "YTpi"),
    ("authorization=Digest user", "user"),
    ("GET /v1/x?key=short&alt=sse", "short"),
    ("GET /v1/x?key%3dshort", "short"),
    ("password=swordfish", "swordfish"),
    ("client_secret: word", "word"),
    ("Bearer word was refused", "word"),
    ("X-Auth-Token:word", "word"),
]


@pytest.mark.parametrize(("text", "secret"), NAMED)
def test_what_is_named_a_secret_goes_whatever_it_looks_like(text: str, secret: str) -> None:
    assert secret not in (safe_message(text) or "")


PLAIN = [
    "Rate limit reached for gpt-4o-mini-2024-07-18 on tokens per min (TPM): Limit 30000, Used 29000.",
    "The model claude-sonnet-4-5-20250929 does not exist or you do not have access to it.",
    "max_tokens: 4096 is too large; max_output_tokens=200000 > 128000",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo is busy, as is mistralai/Mixtral-8x7B-Instruct-v0.1",
    "See https://platform.openai.com/docs/guides/error-codes/api-errors for more.",
    "cannot reach api.openai.com:443: Connection refused",
    "a user-provided value; additionalProperties is required; InvalidRequestErrorException",
    "it resets at 2026-11-29T00:00:00Z",
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_helps_to_understand_an_error_stays(text: str) -> None:
    assert safe_message(text) == text


ANY_SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=200)


@given(ANY_SECRET, st.sampled_from(FRAMES), st.sampled_from([str, str.upper, str.lower, quote]))
def test_a_known_secret_goes_by_its_value(secret: str, frame: str, spell: Callable[[str], str]) -> None:
    found = without(frame.format(spell(secret)), (secret,))
    assert secret.lower() not in found.lower()
    assert quote(secret, safe="") not in found


@given(ANY_SECRET.filter(lambda s: len(s) >= 12), st.data())
def test_so_does_a_part_of_one(secret: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(secret) - 12))
    end = data.draw(st.integers(begin + 12, len(secret)))
    found = without(f"it begins like <{secret[begin:end]}>", (secret,))
    assert secret[begin:end] not in found


DISGUISES: dict[str, Callable[[str], str]] = {
    "NUL between letters": "\0".join,
    "zero width": "\u200b".join,
    "soft hyphens": "\xad".join,
    "direction marks": lambda key: f"\u202e{key[:7]}\u2066{key[7:]}",
    "variation selectors": "\ufe0f".join,
    "letters that show nothing": "\u3164".join,
    "full width": lambda key: "".join(chr(ord(c) + 0xFEE0) for c in key),
    "mathematical": lambda key: "".join(chr(0x1D5BA + ord(c) - 97) if c.islower() else c for c in key),
    "accents": lambda key: "\u0301".join(key) + "\u0301",
    "several at once": lambda key: "\u200d\u0327".join(chr(ord(c) + 0xFEE0) for c in key),
}
KNOWN = "team-password-of-anna"
KEYS = ["sk-proj-Zt4QpWm8", "gsk_kdkdkdkdkdkd", KNOWN]


@each("disguise", DISGUISES)
@each("key", KEYS)
def test_a_disguised_key_does_not_get_through(key: str, disguise: str) -> None:
    hidden = DISGUISES[disguise](key)
    text = f"Incorrect key {hidden} for this caf\u00e9"
    found = safe_message(text, [KNOWN]) or ""
    assert found.startswith("Incorrect key [...]")
    assert all(
        letter not in found for letter in hidden if letter not in "Incorrect key [...] for this caf\u00e9"
    )
    assert safe_code(f"bad_{hidden}", [KNOWN]) == "redacted"
    for raw in (json.dumps({"error": text}), json.dumps({"error": text}, ensure_ascii=False)):
        body = raw_body(raw.encode(), [KNOWN]) or ""
        assert (key in unaccented(body)) is False


@each(
    "text",
    ["Modèle inconnu : écrivez-le autrement", "模型不存在", "모델을 찾을 수 없습니다", "naïve Ωmega ½"],
)
def test_texts_of_other_languages_stay(text: str) -> None:
    assert unicodedata.normalize("NFKC", text) == safe_message(text)


@each("escaped", [r"sk-\u0070roj-Zt4QpWm8", r"\u0073k-proj-Zt4QpWm8", r"\u200bsk\u200b-proj-Zt4QpWm8"])
def test_a_key_in_escapes_is_not_kept_with_an_answer(escaped: str) -> None:
    raw = f'{{"error": {{"message": "key {escaped}", "param": "a\\\\u0062\\u0022\\ud83d\\ude00"}}}}'
    kept = raw_body(raw.encode()) or ""
    assert json.loads(kept) == {"error": {"message": f"key {GONE}", "param": 'a\\u0062"\U0001f600'}}


def test_a_secret_across_the_end_of_what_is_examined_goes_as_well() -> None:
    secret = "my quite ordinary words as a secret"
    for at in range(4060, 4100):
        assert "ordinary" not in (safe_message("x " * (at // 2) + secret, (secret,)) or "")
    assert "ordin" not in without("a" * 200 + secret[:14], (secret,))


def test_words_that_are_no_secret_of_this_request_stay() -> None:
    assert safe_message("the model is overloaded", ("x", "the", "model")) == "the model is overloaded"


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("DeploymentNotFound", "DeploymentNotFound"),
        ("1302", "1302"),
        ("", None),
        (None, None),
        ("sk-proj-Abc_123-xyz0", "redacted"),
        ("swordfish", "redacted"),
        ("x" * 65, "redacted"),
        ("'quoted'", "redacted"),
    ],
)
def test_what_is_kept_of_a_code(code: str | None, kept: str | None) -> None:
    assert safe_code(code, ("swordfish",)) == kept


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "http_503", "server_error", "unknown"])
def test_codes_made_of_words_stay(code: str) -> None:
    assert worded_code(code) == code


@pytest.mark.parametrize(
    "code", [*SHAPES.values(), "a-secret-of-words", "x" * 41, "", "A_code", "a b", "a_\n"]
)
def test_other_codes_do_not(code: str) -> None:
    assert worded_code(code) == "other"


@given(st.one_of(st.none(), st.integers(), st.lists(st.text()), st.text(), st.text(alphabet="'\"`a. @sk-")))
def test_whatever_comes_it_is_short_or_nothing(text: object) -> None:
    found = safe_message(text)
    assert found is None or (isinstance(text, str) and len(found) <= MAX_MESSAGE)


@pytest.mark.parametrize(
    "piece", ["a.", "'a ", "sk-", "@", "a@", "a", "key=", "token", "aB1", "cookie ", "-a", " "]
)
def test_no_text_takes_long(piece: str) -> None:
    secrets = ("sk-" + "ab" * 500, "aaaaaaaaaaaaaaaaaaaaaa" + "b" * 2000)
    text = piece * 50_000
    best = min(timeit.repeat(lambda: safe_message(text, secrets), timer=process_time, number=1, repeat=5))
    assert best < 0.5  # of the CPU: what grows with the square of the length takes many seconds

"""From method and path to the API, the template and what is billed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http.routes import APIS, Route, backend_route, route


@pytest.mark.parametrize(
    ("method", "tail", "expected"),
    [
        ("POST", "/responses", Route("responses", "/v1/responses", True)),
        ("POST", "/chat/completions", Route("chat_completions", "/v1/chat/completions", True)),
        ("POST", "/completions", Route("completions", "/v1/completions", True)),
        ("POST", "/embeddings", Route("embeddings", "/v1/embeddings", True)),
        ("POST", "/messages", Route("messages", "/v1/messages", True)),
        ("POST", "/images/generations", Route("images", "/v1/images/generations", True)),
        ("POST", "/audio/speech", Route("audio", "/v1/audio/speech", True)),
        ("GET", "/responses", Route("responses", "/v1/responses", False)),
        ("GET", "/models", Route("models", "/v1/models", False)),
        ("GET", "/models/gpt-5", Route("models", "/v1/models/{id}", False)),
        ("GET", "/responses/resp_1", Route("responses", "/v1/responses/{id}", False)),
        ("POST", "/responses/resp_1/cancel", Route("responses", "/v1/responses/{id}", False)),
        ("GET", "/chat/completions/c/x", Route("chat_completions", "/v1/chat/completions/{id}", False)),
        ("POST", "/files", Route("other", "/v1/files", False)),
        ("GET", "/files/f/content", Route("other", "/v1/files/{id}", False)),
        ("POST", "/responses/", Route("responses", "/v1/other", False)),
        ("POST", "/Responses", Route("other", "/v1/other", False)),
        ("POST", "/", Route("other", "/v1/other", False)),
        ("POST", "//responses", Route("other", "/v1/other", False)),
    ],
)  # fmt: skip
def test_a_route(method: str, tail: str, expected: Route) -> None:
    assert route(method, tail) == expected


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/backend-api/codex/responses", Route("responses", "/backend-api/codex/responses", True)),
        ("GET", "/backend-api/codex/responses", Route("responses", "/backend-api/codex/responses", False)),
        ("POST", "/backend-api/conversation/1", Route("other", "/backend-api/other", False)),
    ],
)
def test_a_route_of_the_backend(method: str, path: str, expected: Route) -> None:
    assert backend_route(method, path) == expected


SEGMENT = st.sampled_from(["", "responses", "chat", "completions", "models", "files", "x", "../", "%2e", "é"])
TEMPLATES = {
    "/v1/other",
    *(f"/v1{tail}" for tail in ("/responses", "/chat/completions", "/completions", "/models", "/files")),
    *(f"/v1{tail}/{{id}}" for tail in ("/responses", "/chat/completions", "/models", "/files")),
}


@given(st.lists(SEGMENT, max_size=6), st.sampled_from(["GET", "POST"]))
@settings(deadline=None)
def test_labels_come_from_a_closed_list(segments: list[str], method: str) -> None:
    found = route(method, "/" + "/".join(segments))
    assert found.api in APIS
    assert found.template in TEMPLATES
    assert not found.billable or method == "POST"

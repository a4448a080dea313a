"""From method and path to the API, the template and what is billed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.routes import APIS, Route, backend_route, route


@pytest.mark.parametrize(
    ("method", "tail", "expected"),
    [
        ("POST", "/responses", Route("responses", "/v1/responses", True, "generates")),
        ("POST", "/chat/completions", Route("chat_completions", "/v1/chat/completions", True, "generates")),
        ("POST", "/completions", Route("completions", "/v1/completions", True, "generates")),
        ("POST", "/embeddings", Route("embeddings", "/v1/embeddings", True, "generates")),
        ("POST", "/messages", Route("messages", "/v1/messages", True, "generates")),
        ("POST", "/images/generations", Route("images", "/v1/images/generations", True, "generates")),
        ("POST", "/audio/speech", Route("audio", "/v1/audio/speech", True, "generates")),
        ("GET", "/responses", Route("responses", "/v1/responses", False, "reads")),
        ("GET", "/models", Route("models", "/v1/models", False, "reads")),
        ("GET", "/models/gpt-5", Route("models", "/v1/models/{id}", False, "reads")),
        ("GET", "/responses/resp_1", Route("responses", "/v1/responses/{id}", False, "reads")),
        ("POST", "/responses/resp_1/cancel", Route("responses", "/v1/responses/{id}", False, "reads")),
        ("GET", "/chat/completions/c/x",
         Route("chat_completions", "/v1/chat/completions/{id}", False, "reads")),
        ("POST", "/files", Route("other", "/v1/files", False, "free")),
        ("GET", "/files/f/content", Route("other", "/v1/files/{id}/content", False, "reads")),
        ("POST", "/", Route("other", "/v1/other", False)),
        ("POST", "/responses/compact", Route("responses", "/v1/responses/compact", True, "generates")),
        ("POST", "/batches", Route("other", "/v1/batches", False, "deferred")),
        ("GET", "/batches", Route("other", "/v1/batches", False, "reads")),
        ("POST", "/messages/batches", Route("messages", "/v1/messages/batches", False, "deferred")),
        ("POST", "/messages/count_tokens", Route("messages", "/v1/messages/count_tokens", False, "free")),
        ("POST", "/threads/t/messages", Route("other", "/v1/other", False, "free")),
        ("POST", "/model/anthropic.claude-v1:0/count-tokens", Route("other", "/v1/other", False, "free")),
        ("POST", "/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
         Route("other", "/v1/other", False, "free")),
        ("POST", "/conversations/c/chat/completions",
         Route("chat_completions", "/v1/{prefix}/chat/completions", True, "generates")),
        ("POST", "/threads/t/runs", Route("other", "/v1/other", False, "deferred")),
        ("POST", "/realtime/client_secrets", Route("other", "/v1/realtime/{id}", False, "deferred")),
        ("POST", "/models/gemini-3-pro:streamGenerateContent",
         Route("models", "/v1/models/{id}:streamGenerateContent", True, "generates")),
        ("POST", "/models/gemini-3-pro:countTokens",
         Route("models", "/v1/models/{id}:countTokens", False, "free")),
        ("POST", "/openai/deployments/d/chat/completions",
         Route("chat_completions", "/v1/{prefix}/chat/completions", True, "generates")),
    ],
)  # fmt: skip
def test_a_route(method: str, tail: str, expected: Route) -> None:
    assert route(method, tail) == expected


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        (
            "POST",
            "/backend-api/codex/responses",
            Route("responses", "/backend-api/codex/responses", True, "generates"),
        ),
        (
            "GET",
            "/backend-api/codex/responses",
            Route("responses", "/backend-api/codex/responses", False, "reads"),
        ),
        ("POST", "/backend-api/conversation/1", Route("other", "/backend-api/other", False)),
    ],
)
def test_a_route_of_the_backend(method: str, path: str, expected: Route) -> None:
    assert backend_route(method, path) == expected


SEGMENT = st.sampled_from(["", "responses", "chat", "completions", "models", "files", "x", "openai", "é"])
TEMPLATES = {
    "/v1/other",
    *(
        f"/v1{tail}"
        for tail in ("/responses", "/chat/completions", "/completions", "/models", "/files", "/chat")
    ),
    *(f"/v1{tail}/{{id}}" for tail in ("/responses", "/chat/completions", "/models", "/files")),
}
TEMPLATES |= {f"/v1/{{prefix}}{template.removeprefix('/v1')}" for template in TEMPLATES}


@given(st.lists(SEGMENT, max_size=6), st.sampled_from(["GET", "POST"]))
def test_labels_come_from_a_closed_list(segments: list[str], method: str) -> None:
    found = route(method, "/" + "/".join(segments))
    assert found.api in APIS
    assert found.template in TEMPLATES
    assert not found.billable or method == "POST"

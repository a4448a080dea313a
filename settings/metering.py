"""What is read of a request's head beside its path."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from settings.access import LIST
from settings.section import Section


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", text):
        raise ValueError("allowed: the name of an HTTP header, like X-Project")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]


class Metering(Section):
    """`[metering]`."""

    project_headers: Annotated[tuple[HeaderName, ...], LIST] = Field(
        ("X-Project", "OpenAI-Project"),
        description="headers that name a request's project; the first one that is there counts",
    )
    trace_headers: Annotated[tuple[HeaderName, ...], LIST] = Field(
        ("traceparent",), description="headers that name a request's trace; of traceparent, its trace id"
    )

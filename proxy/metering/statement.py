"""What one document says of token counts, and what several of one stream say together. Pure.

Streams report twice: a later event may correct an earlier one, restate the whole or only the uncached part
of the input, or leave counts out. The last complete statement holds; what is absent, or 0 beside nothing
else, erases nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from ledger.values import NO_USAGE, Usage
from proxy.metering.numbers import MAX_TOKENS


class Statement(msgspec.Struct, frozen=True):
    """Token counts as a provider words them; None for what it does not say.

    Attributes:
        beside: cached tokens are counted beside `input`, not inside it.
        written: tokens written to a cache, for however long; `written_1h` is the part that stays an hour.
        total: of input and output together, as the provider adds them up.
    """

    input: int | None = None
    output: int | None = None
    beside: bool = False
    read: int | None = None
    written: int | None = None
    written_1h: int | None = None
    reasoning: int | None = None
    total: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None

    @property
    def whole_input(self) -> int | None:
        """All input tokens, cached ones included."""
        if self.input is None or not self.beside:
            return self.input
        return self.input + (self.read or 0) + (self.written or 0)

    @property
    def usage(self) -> Usage:
        """In the ledger's terms."""
        if self == _NOTHING:
            return NO_USAGE
        whole = self.whole_input
        output, reasoning = _whole_output(self, whole)
        if whole is None and output is None and self.total is not None:
            whole, output = self.total, 0  # embeddings and reranking of those that tell no more
        written_1h = self.written_1h
        written = self.written
        if written is not None and written_1h is not None:
            written = max(0, written - written_1h)
        return Usage(
            input_tokens=whole,
            output_tokens=output,
            cached_input_tokens=self.read,
            reasoning_tokens=reasoning,
            cache_write_tokens=written,
            cache_write_1h_tokens=written_1h,
            audio_input_tokens=self.audio_input,
            audio_output_tokens=self.audio_output,
            image_input_tokens=self.image_input,
            image_output_tokens=self.image_output,
        )


_NOTHING = Statement()


Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)] | None


def _named(ins: str, outs: str) -> dict[str, str]:
    return {
        "input": f"{ins}_tokens",
        "output": f"{outs}_tokens",
        "total": "total_tokens",
        "ins": f"{ins}_tokens_details",
        "outs": f"{outs}_tokens_details",
    }


class _Ins(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: Count = None
    audio_tokens: Literal[0] | None = None


class _Outs(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: Count = None
    audio_tokens: Literal[0] | None = None
    accepted_prediction_tokens: Any = None
    rejected_prediction_tokens: Any = None


class _Chat(msgspec.Struct, forbid_unknown_fields=True, rename=_named("prompt", "completion")):
    """Counts of text, and nothing beside them: by far the most usage is that."""

    input: Count = None
    output: Count = None
    total: Count = None
    ins: _Ins | None = None
    outs: _Outs | None = None


class _Responses(msgspec.Struct, forbid_unknown_fields=True, rename=_named("input", "output")):
    """The same by other names; msgspec renames a class's own fields alone."""

    input: Count = None
    output: Count = None
    total: Count = None
    ins: _Ins | None = None
    outs: _Outs | None = None


_SHAPES: dict[str, type[_Chat | _Responses]] = {"chat_completions": _Chat, "responses": _Responses}


def plain(usage: Mapping[str, Any], api: str) -> Statement | None:
    """What a `usage` object says that counts text alone, by OpenAI's names; None for any other."""
    shape = _SHAPES.get(api)
    if shape is None:
        return None
    try:
        said = msgspec.convert(usage, shape)
    except msgspec.ValidationError:
        return None
    read = None if said.ins is None else said.ins.cached_tokens
    reasoning = None if said.outs is None else said.outs.reasoning_tokens
    return Statement(said.input, said.output, read=read, reasoning=reasoning, total=said.total)


def _whole_output(said: Statement, whole_input: int | None) -> tuple[int | None, int | None]:
    """Output with reasoning inside, and the reasoning: some count it beside the output, and in the total
    alone."""
    output, reasoning = said.output, said.reasoning
    if output is None:
        return None, reasoning
    if reasoning is not None and reasoning > output and (said.total or 0) <= (whole_input or 0) + output:
        return output + reasoning, reasoning
    if said.total is None:
        return output, reasoning
    more = said.total - (whole_input or 0) - output
    if whole_input is None or more <= 0:
        return output, reasoning
    return output + more, more if reasoning is None else reasoning


def over(newer: Statement | None, older: Statement | None) -> Statement | None:
    """What two statements of one stream say together; the newer one holds where it is complete."""
    if older is None or newer is None:
        return older if newer is None else newer
    said = _input_over(newer, older)
    output = _said(newer.output, older.output)
    same = (said.whole_input, output) == (older.whole_input, older.output)
    return Statement(
        input=said.input,
        output=output,
        beside=said.beside,
        read=said.read,
        written=said.written,
        written_1h=said.written_1h,
        reasoning=_said(newer.reasoning, older.reasoning),
        # A total is of its own input and output; beside others it would be taken for hidden output.
        total=newer.total or (older.total if same else None),
        audio_input=_said(newer.audio_input, older.audio_input),
        audio_output=_said(newer.audio_output, older.audio_output),
        image_input=_said(newer.image_input, older.image_input),
        image_output=_said(newer.image_output, older.image_output),
    )


def _input_over(newer: Statement, older: Statement) -> Statement:
    """The statement that says the input, with what the other one adds to it."""
    whole = older.whole_input
    if not newer.whole_input:
        return _filled(older, newer, older)
    if not whole:
        return _filled(newer, newer, older)
    if newer.read or newer.written:
        if newer.beside and older.beside and newer.input == whole and newer.read == older.read:
            return older  # the whole, by the name of the uncached part
        same = newer.whole_input == whole
        return _filled(newer, newer, older) if same else _with_hours(newer, older)
    if newer.input in (older.input, whole):
        return _filled(older, newer, older)  # the uncached part, or the whole, once more
    if newer.read is None and newer.written is None:
        return _corrected(newer, older)
    return newer


def _corrected(newer: Statement, older: Statement) -> Statement:
    """Another input without a word of the cache: what is more than the whole was is a whole."""
    assert newer.input is not None
    if older.beside and newer.input > (older.whole_input or 0):
        cached = (older.read or 0) + (older.written or 0)
        return msgspec.structs.replace(older, input=newer.input - cached)
    return msgspec.structs.replace(older, input=newer.input)


def _with_hours(newer: Statement, older: Statement) -> Statement:
    """Only some events tell for how long a cache was written."""
    if newer.written_1h is None and (older.written_1h or 0) <= (newer.written or 0):
        return msgspec.structs.replace(newer, written_1h=older.written_1h)
    return newer


def _filled(said: Statement, newer: Statement, older: Statement) -> Statement:
    """A statement with what only the other one says of its input."""
    other = newer if said is older else older
    return msgspec.structs.replace(
        said,
        input=other.input if said.input is None else said.input,
        beside=other.beside if said.input is None else said.beside,
        read=_said(newer.read, older.read),
        written=_said(newer.written, older.written),
        written_1h=_said(newer.written_1h, older.written_1h),
    )


def _said(newer: int | None, older: int | None) -> int | None:
    """The newer count, unless it is 0 or absent where the older one is not."""
    return newer or (newer if older is None else older)

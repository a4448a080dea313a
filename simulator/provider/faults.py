"""Where a scripted fault strikes in a stream: pure, from events to what is to be done one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from simulator.provider.apis import errors
from simulator.provider.script import Cut, ErrorInside, Fault, Hang, Wire
from simulator.provider.sse import Event


def dressed(events: Iterable[Event], wire: Wire) -> list[Event]:
    """Events with the line ends that the script asks for."""
    result = [e if wire.line_end == "\n" else e.with_line_end(wire.line_end) for e in events]
    if result and not wire.final_blank_line:
        result[-1] = replace(result[-1], data=result[-1].data.rstrip(b"\r\n"))
    return result


def struck(api: str, events: list[Event], fault: Fault | None) -> Iterator[Event | Cut | Hang]:
    """Events up to the fault, then the fault.

    A `Cut` or `Hang` that lies behind the last event strikes there: all has been told, but the stream
    does not end.
    """
    for number, event in enumerate(events):
        if isinstance(fault, Cut | Hang) and number == fault.after_events:
            if isinstance(fault, Cut) and fault.extra_bytes:
                yield Event(event.data[: fault.extra_bytes])
            yield fault
            return
        if isinstance(fault, ErrorInside) and number == fault.after_events:
            yield errors.event(api, fault, number)
            return
        yield event
    if isinstance(fault, Cut | Hang):
        yield fault


def strikes_at_once(fault: Fault | None) -> bool:
    """Whether a fault ends the request before any byte of an answer."""
    return isinstance(fault, Cut | Hang) and fault.after_events is None

"""The turns of the Realtime API: a conversation on one connection, whose answers the client asks for, or the
provider begins by itself once somebody has spoken. What was said may be written down by another model, which
is billed by itself."""

from __future__ import annotations

from time import perf_counter, time
from typing import Any

import msgspec

from proxy.metering.asked import read_request
from proxy.metering.meter import Meter
from proxy.metering.numbers import get, text
from proxy.metering.taps import MessageTap
from proxy.metering.usage import TRANSCRIBED, UNREADABLE
from proxy.websocket.turns import TURN_BEGINS, Lost, Turn, Turns

_BEGUN, _DONE, _ERROR = "response.created", "response.done", "error"
_SESSIONS = frozenset(
    {"session.created", "session.updated", "session.update", "transcription_session.updated"}
)


class _Message(msgspec.Struct):
    type: Any = None
    event_id: Any = None
    response_id: Any = None
    response: Any = None
    session: Any = None
    error: Any = None


class _Kind(msgspec.Struct):
    type: Any = None
    response_id: Any = None


_kinds = msgspec.json.Decoder(_Kind)
_messages = msgspec.json.Decoder(_Message)
_NOTHING = _Message()
_TOLD = frozenset({*_SESSIONS, _BEGUN, _DONE, _ERROR, TURN_BEGINS})
"""Messages that are read as a whole; most of the others carry sound."""


class RealtimeTurns(Turns):
    """The turns of one connection. A turn's stream is the id of its response."""

    _model: str | None = None
    _transcriber: str | None = None

    def asked(self, message: bytes | None) -> None:
        """A message of the client; None for one too long to be read, which is sound."""
        found = _read(message)
        if found.type in _SESSIONS:
            self._learn(found.session)
        elif message is not None and found.type == TURN_BEGINS:
            self._running.append(self._turn(message, asked_as=text(found.event_id)))

    def heard(self, message: bytes | None) -> Lost | None:
        """A message of the provider; None for one too long to be read, which is sound."""
        if message is None:
            return None
        found = _read(message)
        if found.type in _SESSIONS:
            self._learn(found.session)
        elif found.type == TRANSCRIBED:
            self._transcribed(message)
        elif found.type == _BEGUN:
            self._begun(text(get(found.response, "id")))
        elif found.type == _DONE:
            return self._done(message, text(get(found.response, "id")))
        elif found.type == _ERROR:
            return self._failed(message, text(get(found.error, "event_id")))
        else:
            self._passing(message, text(found.response_id))
        return None

    def _begun(self, response: str | None) -> None:
        """A response begins: the one that was asked for, or one that nobody asked for."""
        turn = self._waiting_turn()
        if turn is None:
            turn = self._turn(None)
            self._running.append(turn)
        turn.stream, turn.begun = response, True

    def _passing(self, message: bytes, response: str | None) -> None:
        for turn in self._running:
            if response is not None and turn.stream == response:
                turn.meter.feed(message)

    def _done(self, message: bytes, response: str | None) -> Lost | None:
        known = [turn for turn in self._running if turn.stream == response]
        turn = (known or [*self._running])[0] if self._running else self._turn(None)
        if turn in self._running:
            self._running.remove(turn)
        turn.meter.feed(message)
        self._over(turn, message)
        return None

    def _failed(self, message: bytes, event_id: str | None) -> Lost | None:
        """Most errors are about other messages than those that ask for a turn."""
        turn = self._waiting_turn()
        if turn is None or (event_id is not None and event_id != turn.asked_as):
            return None
        self._running.remove(turn)
        turn.meter.feed(message)
        return self._over(turn, message) if not self._running else None

    def _transcribed(self, message: bytes) -> None:
        meter = self._new_meter(perf_counter(), None)
        meter.listen(200, MessageTap("audio", self._transcriber or "unknown"))
        meter.feed(message)
        meter.finish("done")

    def _waiting_turn(self) -> Turn | None:
        return next((turn for turn in self._running if not turn.begun), None)

    def _turn(self, message: bytes | None, asked_as: str | None = None) -> Turn:
        meter: Meter = self._new_meter(perf_counter(), message)
        if message is not None:
            meter.learn(read_request(message))
        meter.listen(200, MessageTap("responses", self._model))
        return Turn(meter, time(), None, asked_as=asked_as)

    def _learn(self, session: object) -> None:
        """What a session says of its models."""
        self._model = text(get(session, "model")) or self._model
        self._transcriber = (
            text(get(session, "audio", "input", "transcription", "model"))
            or text(get(session, "input_audio_transcription", "model"))
            or self._transcriber
        )


def _read(message: bytes | None) -> _Message:
    """What a message says; nothing where it cannot be read."""
    try:
        kind = None if message is None else _kinds.decode(message)
        if kind is None or message is None:
            return _NOTHING
        if kind.type in _TOLD:
            return _messages.decode(message)
        return _Message(type=kind.type, response_id=kind.response_id)
    except (*UNREADABLE, TypeError):
        return _NOTHING

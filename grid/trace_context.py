"""W3C trace context: the trace of a request goes on with what its handling sends.

A trace travels as the metadata `traceparent` and `tracestate`
(https://www.w3.org/TR/trace-context/). A mailbox that hands out a request with
a valid one makes it the trace of the task that takes it; what that task, and
the tasks it makes, send through any client carries it on, until the task takes
another request. Metadata that a call is given with a `traceparent` of its own
goes as it is. A malformed one reaches the receiver as it was sent, and goes no
further.

If OpenTelemetry is imported when a client is made, the span that is current
when a message is sent goes before the trace of the request that is handled.

All of it is skipped while `active` is False: until the first trace comes, or
OpenTelemetry is there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib import import_module

__all__ = ["hand_out", "look_for_opentelemetry", "onward"]

active: bool = False  # whether any message of this process may have a trace

_IDS = r"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Of a version after 00 more may follow; it is read as far as 00 goes and passed on whole.
_PARENT = re.compile(rf"00-{_IDS}|(?!00|ff)[0-9a-f]{{2}}-{_IDS}(?:-[!-~]{{0,200}})?")
_STATE_LENGTH = 512  # what the standard asks to pass on

_Trace = Mapping[str, str]

_current: ContextVar[_Trace | None] = ContextVar("grid trace", default=None)
_inject: Callable[[dict[str, str]], None] | None = None


def hand_out(metadata: Mapping[str, str]) -> None:
    """The current task takes a request with this metadata: its trace, or none, is the task's."""
    global active
    trace = _trace_of(metadata) if metadata else None
    if trace is not None:
        active = True
        _current.set(trace)
    elif _current.get() is not None:
        _current.set(None)


def onward(metadata: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """The metadata to send: what was given, and the trace of the current task if it has one."""
    if metadata and "traceparent" in metadata:
        return metadata
    trace = _span() or _current.get()
    if trace is None:
        return metadata
    return {**metadata, **trace} if metadata else trace


def look_for_opentelemetry() -> None:
    """Send current spans along from now on, if OpenTelemetry was imported."""
    global active, _inject
    # Without its module there is no current span; importing it here would only cost.
    if _inject is None and "opentelemetry.trace" in sys.modules:
        propagation = import_module("opentelemetry.trace.propagation.tracecontext")
        _inject = propagation.TraceContextTextMapPropagator().inject
        active = True


def _span() -> _Trace | None:
    if _inject is None:
        return None
    span: dict[str, str] = {}
    _inject(span)
    return span or None


def _trace_of(metadata: Mapping[str, str]) -> _Trace | None:
    parent = metadata.get("traceparent")
    if parent is None or not _PARENT.fullmatch(parent):
        return None
    state = metadata.get("tracestate", "")
    if len(state) > _STATE_LENGTH:
        state = state[: _STATE_LENGTH + 1].rpartition(",")[0]
    if not state or not (state.isascii() and state.isprintable()):
        return {"traceparent": parent}
    return {"traceparent": parent, "tracestate": state}

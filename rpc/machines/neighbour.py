"""The way from a mirror to its source inside one process: a call instead of two messages.

Theory of operation
-------------------

A source shares its end with a mirror whose stream does not leave the process. While
nothing is under way between the two, either way, a mutation is carried out in the
call that asks for it, and the mirror takes over the clock that results, with the
number that an update would have had. So the order of mutations and of updates is that
of messages. Whenever something is under way, or an error or another schema has to be
told as well, the call leaves everything to messages.

Access rules, the check and the copy of arguments, the errors and the context in which
handlers run are those of messages.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from machine.core.mutation import Source
from machine.rules.kinds import Kind
from machine.waits.result import Result
from rpc.machine_pb2 import Fault
from rpc.machines.clock import Clock

__all__ = ["Neighbour", "Request", "Response"]


@dataclass(slots=True)
class Request:
    """A mutation.

    Attributes:
        number: of the call.
        sequence: of the last update that the mirror has applied.
        kind: of the mutation.
        welcome: the number of the welcome whose names the mirror has, as of a `Mutation`.
        called: some of these names.
        args: the receiver's own copy of the arguments.
        origin: what caused it.
    """

    number: int
    sequence: int
    kind: Kind
    welcome: int
    called: Sequence[str]
    args: Mapping[str, Any] | None
    origin: Source | None


@dataclass(slots=True)
class Response:
    """The outcome of a mutation.

    Attributes:
        result: of the machine; None if it was refused, or if the outcome comes by messages.
        fault: why it was refused.
        clock: of the source, for the mirror; None if the outcome comes by messages.
        sequence: of the update that the clock is.
    """

    result: Result | None
    fault: Fault | None
    clock: Clock | None
    sequence: int


class _Carrier(Protocol):
    def carry_out(self, request: Request) -> Response | None:
        """See `Neighbour.mutate`."""


class Neighbour:
    """A source, for the mirror whose stream to it stays in the process.

    Args:
        source: carries mutations out.
        context: in which it does.
    """

    __slots__ = ("_context", "_inside", "_source")

    def __init__(self, source: _Carrier, context: contextvars.Context) -> None:
        self._source = source
        self._context = context
        self._inside = False

    def mutate(self, request: Request) -> Response | None:
        """Carry a mutation out; None, and nothing is done, if it has to be a message."""
        if self._inside:  # a handler asks for it
            return None
        self._inside = True
        try:
            return self._context.run(self._source.carry_out, request)
        finally:
            self._inside = False

"""The calls and payloads of one mirror, both ways: what goes beside its clock and mutations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from machine.errors import MachineError
from rpc.machine_pb2 import Call, ToMirror, ToSource
from rpc.machine_pb2 import Payload as Piece
from rpc.machines.functions import FunctionCalls, OfferedFunctions
from rpc.machines.payload_exchange import PayloadExchange
from rpc.machines.payloads import Assembler, Payload, Progress

__all__ = ["SideTraffic"]


class SideTraffic:
    """The calls and payloads of one mirror, at its source.

    Args:
        mirror: its id.
        machine: the id of the machine.
        offered: the functions that the mirror may call.
        on_payload: called with each payload of the mirror.
        limit: bytes of a payload.
        send: sends a message to the mirror.
        start: runs work until the mirror has left.
    """

    def __init__(
        self,
        mirror: str,
        machine: str,
        offered: OfferedFunctions,
        on_payload: Callable[[Payload], Awaitable[None] | None] | None,
        limit: int,
        send: Callable[[ToMirror], Coroutine[Any, Any, None]],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._functions = offered
        self._calls = FunctionCalls(machine)
        self._payloads = PayloadExchange(mirror, Assembler(limit, mirror), on_payload)
        self._send = send
        self._start = start

    @property
    def offered(self) -> list[str]:
        """The names of the functions that the mirror may call."""
        return self._functions.names

    def take(self, message: ToSource) -> bool:
        """Take a message of the mirror; False if it is of another kind."""
        match message.WhichOneof("kind"):
            case "call":
                self._start(self._answer(message.call))
            case "value":
                self._calls.answered(message.value)
            case "payload":
                self._take_piece(message.payload)
            case "receipt":
                self._payloads.taken(message.receipt)
            case _:
                return False
        return True

    async def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """Call a function that the mirror offers. Raises what it raised."""
        return await self._calls.call(lambda one: self._send(ToMirror(call=one)), name, args)

    async def send_payload(
        self, payload: Payload, on_progress: Callable[[Progress], object] | None = None
    ) -> None:
        """Send a payload in pieces; other messages go between them."""
        await self._payloads.send(
            lambda one: self._send(ToMirror(payload=one)), payload, on_progress
        )

    def end(self, error: MachineError) -> None:
        """Fail all that is on its way: the mirror has left."""
        self._calls.end(error)
        self._payloads.end(error)

    async def _answer(self, call: Call) -> None:
        await self._functions.respond(call, lambda value: self._send(ToMirror(value=value)))

    def _take_piece(self, piece: Piece) -> None:
        whole, receipt = self._payloads.take(piece)
        if receipt is not None:
            self._start(self._send(ToMirror(receipt=receipt)))
        elif whole is not None:
            self._start(self._deliver(piece.id, whole))

    async def _deliver(self, number: int, payload: Payload) -> None:
        await self._send(ToMirror(receipt=await self._payloads.deliver(number, payload)))

"""Payloads of one stream, both ways; each is answered with a receipt."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from grid.aio import USER_ERRORS, being_cancelled
from machine.errors import MachineError
from rpc.machine_pb2 import Payload as Piece
from rpc.machine_pb2 import Receipt
from rpc.machines.messages import fault_of, raised
from rpc.machines.payloads import Assembler, Payload, Progress, check_payload, pieces_of

__all__ = ["PayloadExchange"]

_log = logging.getLogger("rpc.payloads")


class PayloadExchange:
    """The payloads that are on their way over one stream.

    Args:
        other: the name of the other side, for texts.
        assembler: of what comes.
        on_payload: called with each payload that has come whole, plain or async.
        on_progress: called with each piece that comes.
    """

    def __init__(
        self,
        other: str,
        assembler: Assembler,
        on_payload: Callable[[Payload], Awaitable[None] | object] | None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self._other = other
        self._assembler = assembler
        self._on_payload = on_payload
        self._on_progress = on_progress
        self._last = 0
        self._sent: dict[int, asyncio.Future[None]] = {}

    async def send(
        self,
        send: Callable[[Piece], Awaitable[None]],
        payload: Payload,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Send a payload; it has arrived when this returns.

        Args:
            send: sends one piece.
            payload: what to send.
            on_progress: called after each piece.

        Raises:
            InvalidArgument, NotPlainData: nothing was sent; see `check_payload`.
            PayloadTooLarge: over the limit of the other side; the rest is not sent.
            RemoteError: the receiver's function for payloads raised.
            MachineError: the error given to `end`.
        """
        check_payload(payload)
        self._last = number = self._last + 1
        receipt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent[number] = receipt
        done, whole = 0, False
        try:
            for piece in pieces_of(number, payload):
                if receipt.done():
                    break
                await send(piece)
                whole = piece.last
                done += len(piece.data)
                if on_progress is not None:
                    on_progress(Progress(payload.name, done, len(payload.data)))
            await receipt
        finally:
            del self._sent[number]
            if not receipt.cancel():
                receipt.cancelled() or receipt.exception()  # an error of its own is on its way
            elif not whole:
                await send(Piece(id=number, error="the sender gave up"))

    def taken(self, receipt: Receipt) -> None:
        """Take in the other side's receipt for a payload."""
        sent = self._sent.get(receipt.id)
        if sent is None or sent.done():
            return
        if receipt.HasField("fault"):
            sent.set_exception(raised(receipt.fault, self._other))
        else:
            sent.set_result(None)

    def take(self, piece: Piece) -> tuple[Payload | None, Receipt | None]:
        """Take a piece in; the whole payload if this was the last, and a receipt if it is refused.

        A whole payload is to be given to `deliver`.
        """
        if piece.error:
            self._assembler.drop(piece.id)
            return None, None
        try:
            progress, whole = self._assembler.take(piece)
        except MachineError as error:
            _log.warning("a payload of %r was refused: %s", self._other, error)
            return None, Receipt(id=piece.id, fault=fault_of(error))
        if self._on_progress is not None:
            try:
                self._on_progress(progress)
            except USER_ERRORS:  # an observer does not end the stream
                _log.exception("the function for progress raised")
        return whole, None

    async def deliver(self, number: int, payload: Payload) -> Receipt:
        """Give a payload to its function; the receipt for the sender."""
        receipt = Receipt(id=number)
        try:
            taken = None if self._on_payload is None else self._on_payload(payload)
            if inspect.isawaitable(taken):
                await taken
        except USER_ERRORS as error:  # the sender hears of it, and the stream goes on
            if isinstance(error, asyncio.CancelledError) and being_cancelled():
                raise
            _log.exception("the function for payloads raised")
            receipt.fault.CopyFrom(fault_of(error))
        return receipt

    def end(self, error: MachineError) -> None:
        """Fail what is on its way: the stream has ended."""
        for sent in self._sent.values():
            if not sent.done():
                sent.set_exception(error)

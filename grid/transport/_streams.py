"""The streams of a session, as their owners use them."""

from __future__ import annotations

from grid.transport._flow import Flow
from grid.transport._inbox import Inbox
from grid.transport._outbox import Outbox
from grid.transport._packing import Packing
from grid.transport._routes import NO_ROUTE
from grid.wire_pb2 import Failure, Frame

__all__ = ["Streams"]


class Streams:
    """The part of a session that sends items, grants credit and ends streams.

    Attributes:
        flows: the open streams, by exchange.
    """

    __slots__ = ()

    flows: dict[int, Flow]
    _in: Inbox
    _out: Outbox
    _packing: Packing

    def credit(self, exchange: int) -> int:
        """Credit that a stream has left; an item may go while it is above 0."""
        flow = self.flows.get(exchange)
        return flow.credit if flow is not None and flow.sending else 0

    def send_item(self, exchange: int, type_name: str, data: bytes) -> None:
        """Queue an item of a stream that has credit."""
        flow = self.flows[exchange]
        number = flow.sent(len(data))
        note = None
        if self._packing.active:
            data, note = self._packing.pack(data, note)
        out = self._out
        out.put(exchange, Frame.ITEM, number, out.routes.find("", type_name, 0), data, note)

    def consumed(self, exchange: int, size: int) -> None:
        """Note that the reader of a stream took an item of `size` bytes."""
        flow = self.flows.get(exchange)
        if flow is not None and flow.receiving:
            total = flow.consumed(size)
            if total:
                self._out.put(exchange, Frame.CREDIT, total, NO_ROUTE, b"", None)

    def end_sending(self, exchange: int) -> None:
        """All items of this direction are sent. The stream ends when both directions have."""
        flow = self.flows.get(exchange)
        if flow is not None and flow.sending:
            flow.sending = False
            self._out.put(exchange, Frame.END, Frame.SENDING, NO_ROUTE, b"", None)
            if not flow.receiving:
                del self.flows[exchange]

    def end_stream(self, exchange: int, failure: Failure | None) -> None:
        """End both directions, after the items that are queued."""
        if self.flows.pop(exchange, None) is not None:
            data = b"" if failure is None else failure.SerializeToString()
            self._out.put(exchange, Frame.END, Frame.STREAM, NO_ROUTE, data, None)
            self._in.assemblies.abandon(exchange)

    def fence(self, failure: Failure) -> None:
        """End all streams, and send the error in place of all that is in no frame yet.

        For a peer that lost its lease: neither answers nor items may leave or be taken in.
        """
        data = failure.SerializeToString()
        self._out.replace(Frame.REPLY, Frame.ERROR, data)
        self._out.replace(Frame.ACCEPT, Frame.ERROR, data)
        if not self.flows:
            return
        self._out.discard_items(self.flows.keys())
        for exchange, flow in tuple(self.flows.items()):
            self.end_stream(exchange, failure)
            self._in.end(flow, failure)

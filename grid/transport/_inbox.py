"""The incoming side of a session: frames are checked, taken apart, and become events."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from google.protobuf.message import DecodeError

from grid.errors import MessageTooLarge, OutcomeUnknown, PeerBusy, StreamClosed
from grid.transport._bulk import split_bulk
from grid.transport._control import Control
from grid.transport._events import ProtocolViolation, SessionEvents
from grid.transport._flow import Flow, FlowError
from grid.transport._large import Assemblies, AssemblyError
from grid.transport._outbox import Outbox
from grid.transport._packing import Packing, PackingError
from grid.transport._routes import NO_ROUTE, InboundRoute, InboundRoutes, RouteError
from grid.transport.budget import Budget
from grid.transport.failures import encode_body, encode_failure
from grid.transport.settings import VERSION, SessionSettings
from grid.wire_pb2 import Failure, Frame, Hello, Note

__all__ = ["Inbox"]

_REQUEST, _REPLY, _TELL = Frame.REQUEST, Frame.REPLY, Frame.TELL
_ABORTING = frozenset((Frame.ERROR, Frame.CANCEL, Frame.END))  # and incomplete messages
_ASSEMBLIES_AT_ONCE = 4  # times the largest message

# Status codes of gRPC, which is not imported here.
_INTERNAL, _RESOURCE_EXHAUSTED, _DATA_LOSS, _CANCELLED = 13, 8, 15, 1


class Inbox:
    """Takes the frames of one session. It shares the session's tables.

    Attributes:
        ours: exchanges that were opened here, by number: token, deadline, and more.
        theirs: tokens of the exchanges that the other side opened and waits for.
        streams: accepted streams, of both sides.
        hello: the other side's, once it came.
        late: answers and items that came after their caller had left.
    """

    def __init__(
        self,
        events: SessionEvents,
        out: Outbox,
        *,
        parity: int,
        settings: SessionSettings,
        packing: Packing,
        ours: dict[int, tuple[Any, float, Any]],
        agreed: Callable[[Hello], None],
        budget: Budget | None,
    ) -> None:
        self._events = events
        self._out = out
        self._parity = parity
        self._settings = settings
        self._packing = packing
        self._routes = InboundRoutes(settings.max_routes)
        self._agreed = agreed
        self._now = 0.0
        self._unpacked = 0  # bytes, of the frame at hand
        self.ours = ours
        self.theirs: dict[int, Any] = {}
        self.streams: dict[int, Flow] = {}
        self.assemblies = Assemblies(
            settings.max_message_bytes, _ASSEMBLIES_AT_ONCE * settings.max_message_bytes, budget
        )
        self.hello: Hello | None = None
        self.late = 0
        self.frames = 0
        self.deliveries = 0
        self.bytes = 0

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take a frame and report its events; see `Session.receive`."""
        head, bulk = split_bulk(data)
        try:
            frame = Frame.FromString(cast("bytes", head))  # which takes any bytes-like object
        except DecodeError:
            raise ProtocolViolation("a frame is not an encoding of grid.Frame") from None
        if frame.number != self.frames + 1:
            raise ProtocolViolation(f"frame {frame.number} came after frame {self.frames}")
        self.frames += 1
        self._unpacked = 0
        self.bytes += len(data)
        self._now = now
        self._out.heard(len(frame.exchange))
        try:
            self._take_control(frame)
            self._take_deliveries(frame, bulk)
        except (RouteError, AssemblyError) as error:
            raise ProtocolViolation(str(error)) from None

    def new_flow(self, token: Any) -> Flow:
        """The state of a stream that begins now."""
        sendable = 0 if self.hello is None else self.hello.stream_credit
        return Flow(token, sendable, self._settings.stream_credit)

    def end(self, flow: Flow, failure: Failure) -> None:
        """Tell the owner of a stream that it is over."""
        self._events.on_end(flow.token, True, failure)

    # -- beside the deliveries -------------------------------------------------------

    def _take_control(self, frame: Frame) -> None:
        if self.hello is None:
            self._take_hello(frame)
        elif frame.HasField("hello"):
            raise ProtocolViolation("a second hello")
        if frame.routes:
            self._routes.define(frame.routes)
        if frame.ping:
            self._out.say(Control(pong=frame.ping))
        if frame.pong:
            self._events.on_pong(frame.pong)
        if frame.HasField("goodbye"):
            self._events.on_goodbye(frame.goodbye.reason)

    def _take_hello(self, frame: Frame) -> None:
        if not frame.HasField("hello"):
            raise ProtocolViolation("the first frame has no hello")
        hello = Hello()
        hello.CopyFrom(frame.hello)
        if hello.version < VERSION or hello.max_routes < 2 or hello.stream_credit < 1:
            raise ProtocolViolation(f"a hello that cannot be: {hello}".replace("\n", " "))
        self.hello = hello
        self._packing.agree(hello.packings)
        self._agreed(hello)
        self._out.greeted(min(hello.max_routes, self._settings.max_routes))
        self._events.on_hello(hello)

    # -- deliveries ----------------------------------------------------------------------

    def _take_deliveries(self, frame: Frame, bulk: memoryview | None) -> None:
        exchanges, kinds, values = frame.exchange, frame.kind, frame.value
        routes, notes = frame.route, frame.notes
        datas: Sequence[Any] = frame.data
        count = len(exchanges)
        if bulk is not None and count:
            parts = kinds[-1] == Frame.CHUNK or exchanges[-1] in self.assemblies.pending
            datas = [*datas, bulk if parts else bytes(bulk)]
        if not len(kinds) == len(values) == len(routes) == len(datas) == count:
            raise ProtocolViolation("the columns of a frame are not equally long")
        if len(notes) > count:
            raise ProtocolViolation("a frame has more notes than deliveries")
        self.deliveries += count
        rows = zip(exchanges, kinds, values, routes, datas, strict=False)
        if notes:
            by_index = {note.index: note for note in notes}
            for index, row in enumerate(rows):
                self._take(*row, by_index.get(index))
        elif count:
            self._take_plain(rows)

    def _take_plain(self, rows: Iterable[tuple[int, int, int, int, bytes]]) -> None:
        ours, events, routes = self.ours, self._events, self._routes
        find, on_reply, on_request = routes.by_number.get, events.on_reply, events.on_request
        unfinished = self.assemblies.pending
        for exchange, kind, value, number, data in rows:
            if unfinished and exchange in unfinished:
                self._take(exchange, kind, value, number, data, None)
            elif kind == _REPLY:
                route = find(number) or routes[number]  # which raises, if there is none
                # It leaves the table only now: an error in between is reported when it is closed.
                entry = ours.get(exchange)
                if entry is None:
                    self.late += 1
                else:
                    on_reply(entry[0], route.type_name, data)
                    ours.pop(exchange, None)
            elif kind == _REQUEST:
                self._check_new(exchange)
                route = find(number) or routes[number]
                on_request(exchange, kind, route, data, value, None)
            else:
                self._take(exchange, kind, value, number, data, None)

    def _take(
        self, exchange: int, kind: int, value: int, route: int, data: bytes, note: Note | None
    ) -> None:
        if kind == Frame.CHUNK:
            self._take_chunk(exchange, value, data, note)
            return
        if kind in _ABORTING:
            self.assemblies.drop(exchange)
        elif exchange in self.assemblies.pending and kind != Frame.CREDIT:
            whole = self.assemblies.last(exchange, data)
            if whole is None:
                self.late += 1
                return
            data = whole
        metadata = None
        if note is not None:
            metadata = dict(note.metadata) or None
            try:
                self._unpacked += note.unpacked_size
                if self._unpacked > self._settings.max_message_bytes:
                    raise PackingError("one frame unpacks to more than one message may")
                data = self._packing.unpack(data, note)
            except PackingError as error:
                self._refuse(exchange, _of_grid(_DATA_LOSS, str(error)))
                return
        take = _TAKE.get(kind)
        if take is None:
            raise ProtocolViolation(f"a delivery is of the unknown kind {kind}")
        take(self, exchange, kind, value, self._routes[route], data, metadata)

    def _check_new(self, exchange: int) -> None:
        if exchange & 1 == self._parity or exchange in self.theirs or exchange in self.streams:
            raise ProtocolViolation(f"exchange {exchange} is not new")

    def _take_opening(
        self,
        exchange: int,
        kind: int,
        value: int,
        route: InboundRoute,
        data: bytes,
        metadata: Mapping[str, str] | None,
    ) -> None:
        self._check_new(exchange)
        self._events.on_request(exchange, kind, route, data, value, metadata)

    def _take_reply(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        entry = self.ours.get(exchange)
        if entry is None:
            self.late += 1
        else:
            self._events.on_reply(entry[0], route.type_name, data)
            self.ours.pop(exchange, None)

    def _take_error(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        failure = _failure(data)
        entry = self.ours.get(exchange)
        if entry is None:
            self.late += 1
            return
        if self._out.stop_large(exchange):
            self._out.put(exchange, Frame.CANCEL, 0, NO_ROUTE, b"", None)
        self._events.on_failure(entry[0], failure)
        self.ours.pop(exchange, None)

    def _take_cancel(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        if self._out.stop_large(exchange):
            stopped = _of_grid(_CANCELLED, "cancelled").SerializeToString()
            self._out.put(exchange, Frame.ERROR, 0, NO_ROUTE, stopped, None)
        token = self.theirs.get(exchange)
        if token is not None:
            self._events.on_cancel(token)
            self.theirs.pop(exchange, None)
        elif exchange in self.streams:
            failure = _of_grid(_CANCELLED, "the other side gave the stream up")
            self.end(self.streams[exchange], failure)
            self.streams.pop(exchange, None)

    def _take_accept(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        entry = self.ours.get(exchange)
        if entry is None:
            self.late += 1  # it was given up, and the other side will hear of that
            return
        self.streams[exchange] = self.new_flow(entry[0])
        self._events.on_accept(entry[0])
        self.ours.pop(exchange, None)

    def _take_item(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        flow = self.streams.get(exchange)
        if flow is None:
            self.late += 1
            return
        try:
            flow.received(value, len(data))
        except FlowError as error:
            self._refuse(exchange, _of_grid(_INTERNAL, str(error)))
        else:
            self._events.on_item(flow.token, route.type_name, data)

    def _take_credit(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        flow = self.streams.get(exchange)
        if flow is not None and flow.granted(value):
            self._events.on_credit(flow.token)

    def _take_end(
        self, exchange: int, kind: int, value: int, route: InboundRoute, data: bytes, _: object
    ) -> None:
        whole = value == Frame.STREAM
        failure = _failure(data) if data else None
        if whole and exchange not in self.ours and self._out.stop_large(exchange):
            self._out.put(exchange, Frame.END, Frame.STREAM, NO_ROUTE, b"", None)
        flow = self.streams.get(exchange)
        if flow is None or not (whole or flow.receiving):
            return
        flow.receiving = False
        self._events.on_end(flow.token, whole, failure)
        if whole or not flow.sending:
            self.streams.pop(exchange, None)

    # -- large and damaged ones ----------------------------------------------------------------

    def _take_chunk(self, exchange: int, value: int, part: bytes, note: Note | None) -> None:
        if exchange in self.assemblies.pending:
            self.assemblies.more(exchange, part, self._now)
            return
        if note is None or not note.size:
            raise ProtocolViolation(f"the first chunk of exchange {exchange} does not say the size")
        at = self._now + value / 1000 if value else math.inf
        if exchange & 1 == self._parity:
            known = exchange in self.ours or exchange in self.streams
        else:
            known = exchange not in self.theirs
        if not known:
            self.assemblies.refuse(exchange)
        elif not self.assemblies.first(exchange, note.size, part, at, self._now):
            self._refuse(exchange, self._no_room(exchange, note.size))

    def _no_room(self, exchange: int, size: int) -> Failure:
        limit = self._settings.max_message_bytes
        if size > limit:
            failure = _of_grid(
                _RESOURCE_EXHAUSTED, f"received message larger than max ({size} vs. {limit})"
            )
            failure.error = encode_body(MessageTooLarge(size, limit))
            return failure
        if exchange in self.streams:
            return encode_failure(StreamClosed(f"no room for an item of {size} bytes"))
        if exchange & 1 == self._parity:  # an answer: the request was acted upon
            return encode_failure(
                OutcomeUnknown(f"the answer was dropped: no room for {size} bytes of it")
            )
        return encode_failure(PeerBusy(size))

    def _refuse(self, exchange: int, failure: Failure) -> None:
        """Tell both sides that a delivery of an exchange cannot be taken."""
        data = failure.SerializeToString()
        flow = self.streams.get(exchange)
        if flow is not None:
            self._out.stop_large(exchange)
            self._out.put(exchange, Frame.END, Frame.STREAM, NO_ROUTE, data, None)
            self.end(flow, failure)
            self.streams.pop(exchange, None)
        elif exchange & 1 == self._parity:
            entry = self.ours.get(exchange)
            if entry is not None:
                self._events.on_failure(entry[0], failure)
                self.ours.pop(exchange, None)
        else:
            self._out.put(exchange, Frame.ERROR, 0, NO_ROUTE, data, None)


def _of_grid(code: int, text: str) -> Failure:
    return Failure(code=code, text=text, origin=Failure.GRID)


def _failure(data: bytes) -> Failure:
    try:
        return Failure.FromString(data)
    except DecodeError:
        raise ProtocolViolation("an error is not an encoding of grid.Failure") from None


_TAKE: dict[int, Callable[..., None]] = {
    Frame.REQUEST: Inbox._take_opening,
    Frame.TELL: Inbox._take_opening,
    Frame.OPEN: Inbox._take_opening,
    Frame.REPLY: Inbox._take_reply,
    Frame.ERROR: Inbox._take_error,
    Frame.CANCEL: Inbox._take_cancel,
    Frame.ACCEPT: Inbox._take_accept,
    Frame.ITEM: Inbox._take_item,
    Frame.CREDIT: Inbox._take_credit,
    Frame.END: Inbox._take_end,
}

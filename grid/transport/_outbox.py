"""The queue of a session: deliveries that wait, and the cutting of frames.

A frame is cut when the one before it is written, and takes what waits then: a
lone caller's delivery goes out at once, and under load frames fill by
themselves. Three rules bound that:

* A frame takes at most half of what is in flight, or as many as the last one
  that came in had, and at least 32, so that both sides work at the same time
  and not in turns; and 256 KiB, and never more names than the other side
  keeps numbers for. Before that side has said how many these are, nothing but
  the hello goes out.
* A frame of fewer than 16 is held back while nothing came in since the last
  one went out, for a millisecond at most. Without that a busy sender falls
  into frames of one or two, each as dear as a full one, and stays there.
* Of messages in chunks a frame has one chunk, after the small ones. Two of
  them share the way in turn; more wait for these. Small ones that come later
  overtake; those that came before leave first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any

from grid.transport._bulk import join_bulk
from grid.transport._control import Control
from grid.transport._large import LargeMessage
from grid.transport._routes import NO_ROUTE, OutboundRoute, OutboundRoutes
from grid.transport.settings import CHUNK_BYTES, LARGE_BYTES
from grid.wire_pb2 import Frame, Note

__all__ = ["OPENING", "Outbound", "Outbox"]

OPENING = frozenset((Frame.REQUEST, Frame.TELL, Frame.OPEN))

_OF_STREAM = frozenset((Frame.ITEM, Frame.CREDIT, Frame.END))

HOLD_UNDER = 16
HOLD_SECONDS = 0.001
LEAST_CAP = 32
_FRAME_BYTES = 256 * 1024
_LARGE_AT_ONCE = 2
_STALE = 0.02  # seconds after which the remaining time is computed again

# exchange, kind, value, route, data, note
Outbound = tuple[int, int, int, OutboundRoute, Any, Note | None]


class Outbox:
    """The queue of one session, and the cutter of its frames.

    Args:
        wake: called when there is something to send and nothing was before.
        overlap: the least number of frames that what is in flight is spread over.

    Attributes:
        bytes: bytes that wait for a frame.
        large_bytes: bytes of them that are of large messages.
        held_until: after `cut` gave nothing: when to ask again; infinite if
            only `wake` will tell.
        written_up_to: of the exchanges opened by this side, all up to this one
            have been cut into frames, but for those in chunks.
    """

    __slots__ = (
        "_control",
        "_heard",
        "_heard_last",
        "_large",
        "_left",
        "_number",
        "_overlap",
        "_queue",
        "_sent_at",
        "_taken",
        "_wake",
        "_waked",
        "_withdrawn",
        "bytes",
        "bytes_sent",
        "deliveries_sent",
        "held_until",
        "large_bytes",
        "last_opened",
        "routes",
        "written_up_to",
    )

    def __init__(self, wake: Callable[[], None], overlap: int = 2) -> None:
        self._wake = wake
        self._overlap = overlap
        self._waked = False
        self._queue: deque[Outbound] = deque()
        self.large_bytes = 0
        self.bytes = 0
        self._taken = 0  # of the queue, ever
        self._left = False  # True if the last frame did not take all
        self._large: dict[int, LargeMessage] = {}
        self._withdrawn: set[int] = set()
        self._control: Control | None = None
        self._number = 0
        self._heard = True
        self._sent_at = -math.inf
        self._heard_last = 0
        self.routes = OutboundRoutes()
        self.held_until = math.inf
        self.last_opened = 0
        self.written_up_to = 0
        self.deliveries_sent = 0
        self.bytes_sent = 0

    def __len__(self) -> int:
        return len(self._queue) + len(self._large)

    @property
    def frames_sent(self) -> int:
        """The number of frames that were cut."""
        return self._number

    @property
    def empty(self) -> bool:
        """True if there is nothing to send."""
        return not (self._queue or self._large or self._control)

    def put(
        self,
        exchange: int,
        kind: int,
        value: int,
        route: OutboundRoute,
        data: bytes,
        note: Note | None,
    ) -> None:
        """Queue a delivery."""
        if len(data) > LARGE_BYTES or exchange in self._large:
            self._put_large((exchange, kind, value, route, data, note))
        else:
            self._queue.append((exchange, kind, value, route, data, note))
            self.bytes += len(data)
            if note is not None:
                self.bytes += note.ByteSize()
        if not self._waked:
            self._waked = True
            self._wake()

    def say(self, control: Control) -> None:
        """Queue a control message for the next frame, which is cut at once.

        Of several of a kind that wait for one frame the last goes out.
        """
        if self._control is not None:
            control = self._control.followed_by(control)
        self._control = control
        self._release()
        if not self._waked:
            self._waked = True
            self._wake()

    def greeted(self, max_routes: int) -> None:
        """Note the other side's hello: from now on deliveries go out.

        Args:
            max_routes: the number of routes it keeps.
        """
        self.routes.limit = max_routes
        if not self.empty:
            self._wake()

    def heard(self, deliveries: int = 0) -> None:
        """Note a frame that came in, with its number of deliveries: what is held back may go."""
        self._heard = True
        self._heard_last = deliveries
        self._release()

    def release(self) -> None:
        """Hold nothing back: all that is queued goes as soon as it can."""
        self._heard = True
        self._release()

    def _release(self) -> None:
        if self.held_until < math.inf:
            self.held_until = math.inf
            self._wake()

    def is_written(self, exchange: int) -> bool:
        """True if the other side may have all of an exchange's opening delivery."""
        return exchange <= self.written_up_to and exchange not in self._large

    def withdraw(self, exchange: int) -> bool:
        """Take back an opening delivery; True if the other side knows nothing of it."""
        large = self._drop_large(exchange)
        if large is not None:
            return not large.begun
        if exchange <= self.written_up_to:
            return False
        self._withdrawn.add(exchange)
        return True

    def stop_large(self, exchange: int) -> bool:
        """Send no more of an exchange's chunks; True if there were any to send."""
        return self._drop_large(exchange) is not None

    def unwritten(self) -> list[Outbound]:
        """The opening deliveries that the other side cannot have acted on."""
        waiting = [
            one for one in self._queue if one[1] in OPENING and one[0] not in self._withdrawn
        ]
        large = [one.delivery for one in self._large.values() if one.delivery[1] in OPENING]
        return waiting + large

    def replace(self, kind: int, by: int, data: bytes) -> None:
        """Send deliveries of another kind and of this data in place of queued ones."""
        if any(one[1] == kind for one in self._queue):
            self._queue = deque(
                (one[0], by, 0, NO_ROUTE, data, None) if one[1] == kind else one
                for one in self._queue
            )
            self.bytes = sum(map(_size, self._queue)) + self.large_bytes
        for exchange, large in tuple(self._large.items()):
            if large.delivery[1] == kind:
                self._drop_large(exchange)
                self.put(exchange, by, 0, NO_ROUTE, data, None)

    def discard_items(self, streams: Collection[int]) -> None:
        """Drop the queued items, credits and ends of these streams."""
        for exchange in streams:
            self._drop_large(exchange)
        self._queue = deque(
            one for one in self._queue if one[0] not in streams or one[1] not in _OF_STREAM
        )
        self.bytes = sum(map(_size, self._queue)) + self.large_bytes

    def _drop_large(self, exchange: int) -> LargeMessage | None:
        large = self._large.pop(exchange, None)
        if large is not None:
            self.large_bytes -= large.size
            self.bytes -= large.size
        return large

    def cut(self, now: float, in_flight: int, remaining: Callable[[int], int]) -> bytes | None:
        """The next frame, encoded; None if there is nothing to send now.

        Args:
            now: seconds.
            in_flight: open exchanges of this side.
            remaining: milliseconds that an exchange opened here still has.
        """
        waiting = len(self._queue)
        if not (waiting or self._large or self._control):
            self._waked = False
            self.held_until = math.inf
            return None
        if not self.routes.limit:
            return self._frame((), None) if self._control else None
        if waiting < HOLD_UNDER and not (self._heard or self._large or self._control):
            self.held_until = self._sent_at + HOLD_SECONDS
            if now < self.held_until:
                return None
        self.held_until = math.inf
        # With a chunk, which has a route too, no more than all.
        cap = min(
            max(LEAST_CAP, in_flight // self._overlap, self._heard_last), self.routes.limit - 1
        )
        waited = self._left or now - self._sent_at > _STALE
        batch = self._take(cap)
        while self._queue and not batch:
            batch = self._take(cap)  # all of it was withdrawn
        if self._large:
            self._add_chunk(batch, remaining)
        if not (batch or self._control):
            self._waked = False
            return None
        frame = self._frame(batch, remaining if waited else None)
        self._sent_at = now
        self._heard = False
        self._left = bool(self._queue)
        return frame

    def _take(self, cap: int) -> list[Outbound]:
        queue = self._queue
        if len(queue) <= cap and self.bytes - self.large_bytes <= _FRAME_BYTES:
            batch = list(queue)
            queue.clear()
            self.bytes = self.large_bytes
            self._taken += len(batch)
            self.written_up_to = self.last_opened
        else:
            batch, size = [], 0
            while queue and len(batch) < cap and size < _FRAME_BYTES:
                one = queue.popleft()
                batch.append(one)
                size += _size(one)
            self.bytes -= size
            self._taken += len(batch)
            opened = (one[0] for one in reversed(batch) if one[1] in OPENING)
            self.written_up_to = max(self.written_up_to, next(opened, 0))
        if self._withdrawn:
            taken, batch = batch, [one for one in batch if one[0] not in self._withdrawn]
            self._withdrawn.difference_update([one[0] for one in taken])
        return batch

    def _frame(self, batch: Sequence[Outbound], remaining: Callable[[int], int] | None) -> bytes:
        self._number += 1
        frame = Frame(number=self._number)
        bulk: memoryview | None = None
        if batch:
            exchange, kind, value, routes, column, notes = zip(*batch, strict=True)
            data: Sequence[bytes] = column
            numbers = [route.number for route in routes]
            if min(numbers) < 0:
                frame.routes.extend(self.routes.define(routes))
                numbers = [route.number for route in routes]
            if remaining is not None:
                value = tuple(
                    remaining(one[0]) if one[1] in OPENING and one[2] else one[2] for one in batch
                )
            frame.exchange.extend(exchange)
            frame.kind.extend(kind)
            frame.value.extend(value)
            frame.route.extend(numbers)
            if type(column[-1]) is memoryview:
                data, bulk = column[:-1], column[-1]
            frame.data.extend(data)
            if any(notes):
                self._add_notes(frame, notes)
        if self._control:
            self._control.add_to(frame)
            self._control = None
        encoded = frame.SerializeToString()
        if bulk is not None:
            encoded = join_bulk(encoded, bulk)
        self.deliveries_sent += len(batch)
        self.bytes_sent += len(encoded)
        return encoded

    @staticmethod
    def _add_notes(frame: Frame, notes: Sequence[Note | None]) -> None:
        for index, note in enumerate(notes):
            if note is not None:
                note.index = index
                frame.notes.append(note)

    def _put_large(self, delivery: Outbound) -> None:
        exchange, kind, _, _, data, _ = delivery
        before = self._large.get(exchange)
        if before is None:
            after = self._taken + len(self._queue)
            large = self._large[exchange] = LargeMessage(exchange, data, delivery, after)
            self.large_bytes += large.size
            self.bytes += large.size
            self._release()
        elif kind == Frame.CREDIT:  # says nothing about this direction
            self._queue.append(delivery)
        else:
            before.followers.append(delivery)

    def _add_chunk(self, batch: list[Outbound], remaining: Callable[[int], int]) -> None:
        ready = islice(self._large.values(), _LARGE_AT_ONCE)
        large = next((one for one in ready if one.after <= self._taken), None)
        if large is None:
            return
        exchange, kind, value, route, _, note = large.delivery
        opening = kind in OPENING
        if opening and value:
            value = remaining(exchange)
        begun = large.begun
        part, last = large.next_chunk(CHUNK_BYTES)
        if not last:
            first = None if begun else Note(size=large.size)
            until = value if opening and not begun else 0
            batch.append((exchange, Frame.CHUNK, until, NO_ROUTE, part, first))
            if len(self._large) > 1:
                self._take_turns()
            return
        batch.append((exchange, kind, value, route, part, note))
        self._drop_large(exchange)
        if opening:
            self.written_up_to = max(self.written_up_to, exchange)
        for follower in large.followers:
            self.put(*follower)

    def _take_turns(self) -> None:
        # The first of two that are under way goes behind the other.
        items = list(self._large.items())
        head = items[1:_LARGE_AT_ONCE] + items[:1]
        self._large = dict(head + items[_LARGE_AT_ONCE:])


def _size(one: Outbound) -> int:
    return len(one[4]) if one[5] is None else len(one[4]) + one[5].ByteSize()

"""The cut of the queue into frames: their number, their size, and what is held back."""

import math

import pytest

from grid.transport._control import Control
from grid.transport._outbox import Outbox
from grid.transport.settings import CHUNK_BYTES, LARGE_BYTES
from grid.wire_pb2 import Frame, Goodbye, Note
from tests.grid.transport.session_kit import columns, parsed

KIB = 1024
FRAME_LIMIT = 4 * 1024 * KIB  # gRPC's own default


class Kit:
    """An outbox that has been greeted, and counts how often it wakes."""

    def __init__(self, max_routes: int = 4096) -> None:
        self.wakes = 0
        self.out = Outbox(self._wake)
        self.out.greeted(max_routes)
        self.opened = 1

    def _wake(self) -> None:
        self.wakes += 1

    def put(self, data: bytes = b"", *, note: Note | None = None, name: str = "one") -> int:
        number, self.opened = self.opened, self.opened + 2
        self.out.last_opened = number
        route = self.out.routes.find(name, "T", 0)
        self.out.put(number, Frame.REQUEST, 0, route, data, note)
        return number

    def cut(self, now: float = 0.0, in_flight: int = 0) -> bytes | None:
        return self.out.cut(now, in_flight, lambda number: 0)

    def busy(self) -> None:
        """Send a frame at 0.0; nothing has come in since."""
        self.put()
        assert self.cut() is not None


# -- how many, how large ------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "in_flight", "taken"),
    [(1, 1, 1), (31, 0, 31), (33, 33, 32), (33, 66, 33), (1000, 200, 100), (1000, 5000, 1000)],
)
def test_a_frame_takes_half_of_what_is_in_flight_and_at_least_32(
    waiting: int, in_flight: int, taken: int
) -> None:
    kit = Kit()
    for _ in range(waiting):
        kit.put()
    assert len(columns(kit.cut(in_flight=in_flight))) == taken


@pytest.mark.parametrize("size", [10 * KIB, 100 * KIB, 256 * KIB, LARGE_BYTES])
@pytest.mark.parametrize("in_metadata", [True, False])
def test_a_frame_has_so_many_bytes_and_one_more_message(size: int, in_metadata: bool) -> None:
    kit = Kit()
    for _ in range(50):
        if in_metadata:
            kit.put(note=Note(metadata={"key": "x" * size}))
        else:
            kit.put(bytes(size))
    frames = []
    while (data := kit.cut(in_flight=1000)) is not None:
        kit.out.heard()
        frames.append(data)
    assert sum(len(columns(data)) for data in frames) == 50
    assert max(map(len, frames)) < 256 * KIB + size + 10 * KIB
    assert len(frames) <= 50 * size // (256 * KIB) + 1


def test_the_largest_frame_is_one_that_grpc_takes() -> None:
    kit = Kit()
    kit.put(bytes(10 * LARGE_BYTES))
    kit.put(bytes(256 * KIB - 1))
    kit.put(bytes(LARGE_BYTES))
    for n in range(10_000):
        kit.put(name=f"{n:0300}")
    while (data := kit.cut(in_flight=20_000)) is not None:
        assert len(data) < FRAME_LIMIT
        kit.out.heard()


def test_a_frame_names_no_more_than_the_other_side_keeps() -> None:
    kit = Kit(max_routes=3)
    for n in range(100):
        kit.put(name=str(n))
    kit.put(bytes(2 * LARGE_BYTES), name="large")
    meaning: dict[int, str] = {}
    received = []
    while (data := kit.cut()) is not None:
        kit.out.heard()
        meaning |= {route.number: route.receiver for route in parsed(data).routes}
        received += [
            meaning[route] for _, kind, _, route, _ in columns(data) if kind == Frame.REQUEST
        ]
    assert set(meaning) == {1, 2, 3}
    assert received == [*map(str, range(100)), "large"]


def test_what_waits_in_order_leaves_in_order() -> None:
    kit = Kit()
    numbers = [kit.put(bytes(n * 100)) for n in range(300)]
    sent = []
    while (data := kit.cut()) is not None:
        kit.out.heard()
        sent += [row[0] for row in columns(data)]
    assert sent == numbers


# -- what is held back -----------------------------------------------------------------


def test_the_first_goes_out_at_once() -> None:
    kit = Kit()
    kit.put()
    assert kit.cut() is not None


@pytest.mark.parametrize("waiting", [1, 15, 16])
def test_few_are_held_while_nothing_comes_in(waiting: int) -> None:
    kit = Kit()
    kit.busy()
    for _ in range(waiting):
        kit.put()
    assert (kit.cut(0.0005) is None) == (waiting < 16)


def test_what_is_held_goes_after_a_millisecond() -> None:
    kit = Kit()
    kit.busy()
    kit.put()
    assert kit.cut(0.0002) is None
    assert kit.out.held_until == 0.001
    assert kit.cut(0.00099) is None
    assert kit.cut(kit.out.held_until) is not None
    assert kit.out.held_until == math.inf


def test_what_is_held_goes_when_something_comes_in() -> None:
    kit = Kit()
    kit.busy()
    kit.put()
    assert kit.cut(0.0002) is None
    wakes = kit.wakes
    kit.out.heard()
    assert kit.wakes == wakes + 1
    assert kit.out.held_until == math.inf
    assert kit.cut(0.0003) is not None


@pytest.mark.parametrize("what", ["a ping", "a goodbye", "a large message"])
def test_what_is_held_goes_with_what_cannot_wait(what: str) -> None:
    kit = Kit()
    kit.busy()
    kit.put()
    assert kit.cut(0.0002) is None
    wakes = kit.wakes
    if what == "a large message":
        kit.put(bytes(LARGE_BYTES + 1))
    else:
        ping = what == "a ping"
        kit.out.say(Control(ping=7) if ping else Control(goodbye=Goodbye(reason="bye")))
    assert kit.wakes == wakes + 1
    assert columns(kit.cut(0.0003))[0][1] == Frame.REQUEST


# -- waking ----------------------------------------------------------------------------


def test_it_wakes_once_until_it_was_asked_in_vain() -> None:
    kit = Kit()
    for _ in range(10):
        kit.put()
    assert kit.wakes == 1
    assert kit.cut() is not None
    kit.put()
    assert kit.wakes == 1  # who took the frame asks again
    assert kit.cut(1.0) is not None
    assert kit.cut(1.0) is None
    kit.put()
    assert kit.wakes == 2


def test_it_is_empty_when_there_is_nothing_to_send() -> None:
    kit = Kit()
    assert kit.out.empty
    kit.out.say(Control(ping=1))
    assert not kit.out.empty
    kit.cut()
    assert kit.out.empty
    kit.put(bytes(LARGE_BYTES + 1))
    assert not kit.out.empty


def test_it_wakes_again_after_all_was_taken_back() -> None:
    kit = Kit()
    number = kit.put()
    assert kit.out.withdraw(number)
    assert kit.cut() is None
    kit.put()
    assert kit.wakes == 2
    assert len(columns(kit.cut())) == 1


# -- taking back ------------------------------------------------------------------------


def test_what_left_cannot_be_taken_back() -> None:
    kit = Kit()
    first, second = kit.put(), kit.put()
    assert kit.out.withdraw(second)
    assert [row[0] for row in columns(kit.cut())] == [first]
    assert not kit.out.withdraw(first)


def test_what_was_taken_back_is_not_unwritten() -> None:
    kit = Kit()
    numbers = [kit.put() for _ in range(3)]
    numbers.append(kit.put(bytes(LARGE_BYTES + 1)))
    kit.out.withdraw(numbers[1])
    assert [one[0] for one in kit.out.unwritten()] == [numbers[0], *numbers[2:]]


@pytest.mark.parametrize("chunks", range(6))
def test_a_large_one_is_written_with_its_last_chunk(chunks: int) -> None:
    kit = Kit()
    number = kit.put(bytes(LARGE_BYTES + 1))
    for _ in range(chunks):
        assert kit.cut() is not None
    assert kit.out.is_written(number) == (chunks == 5)
    # The other side knows of it from the first chunk on.
    assert kit.out.withdraw(number) == (chunks == 0)


def test_answers_are_replaced_by_an_error_wherever_they_wait() -> None:
    kit = Kit()
    route = kit.out.routes.find("", "T", 0)
    kit.out.put(2, Frame.REPLY, 0, route, b"answer", None)
    kit.put(b"question")
    kit.out.put(4, Frame.REPLY, 0, route, bytes(LARGE_BYTES + 1), Note(checksum=1))
    kit.out.replace(Frame.REPLY, Frame.ERROR, b"error")
    rows = [(exchange, kind, data) for exchange, kind, _, _, data in columns(kit.cut())]
    error = Frame.ERROR
    assert rows == [(2, error, b"error"), (1, Frame.REQUEST, b"question"), (4, error, b"error")]
    assert kit.out.empty


def test_chunks_are_of_one_size_and_one_is_in_a_frame() -> None:
    kit = Kit()
    kit.put(bytes(LARGE_BYTES + 1))
    kit.put(bytes(LARGE_BYTES + 1))
    sizes = []
    while (data := kit.cut()) is not None:
        ((*_, part),) = columns(data)
        sizes.append(len(part))
    assert sizes == [CHUNK_BYTES] * 8 + [1, 1]

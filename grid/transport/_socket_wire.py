"""A session on a unix socket, between two processes of one host.

The frames are the same as on a gRPC stream; each comes after its length, four
bytes, the highest first. The other work of gRPC is not needed here: the
socket lies in a folder that only its user can enter, one connection carries
one session, and the kernel tells at once when a process is gone. Without
gRPC's threads and HTTP/2 a lone request takes half of the time.

There is no task here: the event loop's callbacks drive it. One frame is
written at each turn of the loop, so that the other side works on it while the
next one is cut. A process that is stopped, which holds its connections and
answers nothing, is found by its state, and one that has ended is told by the
kernel, also if a child that it had forked keeps the connection open. So there
are no connections between containers, which do not see each other's processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import grpc

from grid.deadline import now
from grid.transport._process_watch import ProcessWatch
from grid.transport.unix_paths import restore_folder
from grid.transport.wire import Frames

__all__ = ["SocketServer", "SocketWire", "connect"]

_log = logging.getLogger("grid.transport")

_LENGTH = 4
_LARGEST_FRAME = 8 * 1024 * 1024
_BUFFER = 1024 * 1024  # bytes that may wait, here and in the kernel; a few chunks
_LAST_FRAMES = 0.05  # seconds without a byte after which a dead process has none on the way
_CREDENTIALS = struct.Struct("3i")  # process, user, group


class SocketWire(asyncio.Protocol):
    """One connection.

    Args:
        opened: called with this wire once it is connected, to make its link.
    """

    def __init__(self, opened: Callable[[SocketWire], None] | None = None) -> None:
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._link: Frames | None = None
        self._closed: asyncio.Future[str] = self._loop.create_future()
        self._early: list[bytes] = []  # bytes that came before there was a link
        self._parts: list[bytes] = []  # of a frame that has not come whole
        self._have = 0
        self._need = 0
        self._paused = False
        self._deaf = False
        self._scheduled = False
        self._held: asyncio.TimerHandle | None = None
        self._watch: ProcessWatch | None = None
        self._received = 0
        self.overlap = 4
        self.status: grpc.StatusCode | None = None

    # -- calls of the link ------------------------------------------------------

    def wake(self) -> None:
        """Write in the next turn of the loop: something is queued, or the link is over."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    async def carry(self, link: Frames) -> str:
        """Carry frames both ways until the end; returns why. Cancelling it ends it at once."""
        self.attach(link)
        try:
            await asyncio.wait((self._closed, link.given_up), return_when=asyncio.FIRST_COMPLETED)
            reason = self._closed.result() if self._closed.done() else link.given_up.result()
            link.end(reason)
        finally:
            if self._held is not None:
                self._held.cancel()
            await self.close()
        return reason

    async def close(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def attach(self, link: Frames) -> None:
        """Give all frames that come to a link."""
        if self._link is None:
            self._link = link
            early, self._early = self._early, []
            for data in early:
                self.data_received(data)
            self.wake()

    def peer_is_stopped(self) -> bool:
        """True if the other side's process is there but does not run (SIGSTOP)."""
        return self._watch is not None and self._watch.is_stopped()

    # -- callbacks of the event loop -----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the new connection up."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BUFFER)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        process, user = _peer(connection)
        if user not in (os.getuid(), -1) or _is_elsewhere(process, user):
            self._transport.abort()  # of users, the folder's mode should have kept it out
            return
        # Two ends in one process end together.
        self._watch = ProcessWatch(0 if process == os.getpid() else process, self._process_ended)
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Take some bytes: none, one or many frames."""
        self._received += len(data)
        if self._link is None:
            self._early.append(data)
            return
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        start, end, view = 0, len(data), memoryview(data)
        while end - start >= _LENGTH:
            size = int.from_bytes(data[start : start + _LENGTH], "big")
            after = start + _LENGTH + size
            if size > _LARGEST_FRAME:
                self._over(f"a frame of {size} bytes is larger than any may be")
                return
            if after > end:
                break
            self._feed(view[start + _LENGTH : after])
            start = after
        if start < end:
            whole = int.from_bytes(data[start : start + _LENGTH], "big") + _LENGTH
            self._need = whole if end - start >= _LENGTH else _LENGTH
            self._parts.append(data[start:] if start else data)
            self._have = end - start

    def eof_received(self) -> bool:
        """The other side writes nothing more: the session is over."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self._watch is not None:
            self._watch.close()
        self._over(str(error) if error is not None else "the other side closed the session")

    def pause_writing(self) -> None:
        """The other side does not read as fast as this one writes."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._paused = False
        self.wake()

    # -- inside ----------------------------------------------------------------------------

    def _process_ended(self) -> None:
        # The connection may hold frames that it wrote before; they come first. It does not
        # close by itself if a forked child of the process has it, too.
        self._loop.call_later(_LAST_FRAMES, self._look_for_last_frames, self._received)

    def _look_for_last_frames(self, received: int) -> None:
        if self._received != received:
            self._process_ended()
        elif not self._closed.done():
            self._over("the other side's process has ended")

    def _feed(self, frame: memoryview) -> None:
        link = self._link
        if link is not None and not self._closed.done():
            violation = link.feed(frame)
            if violation is not None:
                self._over(violation)
            elif link.congested and not self._deaf and self._transport is not None:
                self._deaf = True
                self._transport.pause_reading()

    def _flush(self) -> None:
        self._scheduled = False
        link, transport = self._link, self._transport
        if self._paused or link is None or transport is None or transport.is_closing():
            return
        frame = link.next_frame()
        if frame is not None:
            transport.writelines((len(frame).to_bytes(_LENGTH, "big"), frame))
            link.frame_written()
            if self._deaf and not link.congested:
                self._deaf = False
                transport.resume_reading()
            self.wake()
        elif link.closing:
            transport.close()  # when all is written
        elif link.held_until < math.inf:
            self._hold(link.held_until)

    def _hold(self, until: float) -> None:
        if self._held is not None:
            self._held.cancel()
        self._held = self._loop.call_later(max(0.0, until - now()), self.wake)

    def _over(self, reason: str) -> None:
        if not self._closed.done():
            self._closed.set_result(reason)


class SocketServer:
    """Listens on a unix socket.

    Args:
        path: of the socket; removed at the end.
        accept: called with each connection, to make its link.
    """

    def __init__(self, path: str, accept: Callable[[SocketWire], None]) -> None:
        self.path = path
        self._accept = accept
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Take connections. Raises `OSError` if the path cannot be had."""
        try:
            self._server = await self._bind()
        except FileNotFoundError:
            # The last other peer of this host may have stopped since the path was made.
            if not restore_folder(self.path):
                raise
            self._server = await self._bind()
        # By itself: asyncio forgets a server whose making is cancelled after it listens.
        await self._server.start_serving()

    async def _bind(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(
            lambda: SocketWire(self._accept), self.path, start_serving=False
        )

    def stop(self) -> None:
        """Take no more connections; those there are go on."""
        if self._server is not None:
            self._server.close()
            path = Path(self.path)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()  # if no other peer is in it


async def connect(path: str, *, own_user: bool = False) -> SocketWire:
    """A connection to a socket.

    Args:
        path: of the socket.
        own_user: only to a process of this user, as the kernel says.

    Raises:
        OSError: there is none, or it belongs to a process that cannot be seen from here, or
            to another user.
    """
    loop = asyncio.get_running_loop()
    transport, wire = await loop.create_unix_connection(SocketWire, path)
    process, user = _peer(transport.get_extra_info("socket"))
    if _is_elsewhere(process, user):
        transport.abort()
        raise OSError(f"{path} is listened on in another container")
    if own_user and user != os.getuid():
        transport.abort()
        raise OSError(f"{path} is not known to be of this user")
    return wire


def _is_elsewhere(process: int, user: int) -> bool:
    # In a container with its own processes, whose state cannot be read: a stopped one would
    # pass for one that is busy. gRPC's own pings tell the two apart.
    return process == 0 and user >= 0


def _peer(connection: socket.socket | None) -> tuple[int, int]:
    # The other side's process and user; 0 and -1 where the system does not tell.
    option = getattr(socket, "SO_PEERCRED", None)
    if connection is None or option is None:
        return 0, -1
    process, user, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    )
    return process, user

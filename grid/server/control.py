"""A peer's own mailbox: starts, stops and reports of actors, by message.

Each is handled in a task of its own, so that a slow factory or a long stop
does not hold up the others; how many are under way is bounded, and what waits
beyond that is bounded by the mailbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from google.protobuf.message import Message

from grid.errors import GridError, RequestFailed
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request, refuse
from grid.server.actors import ActorRunner
from grid.wire_pb2 import ActorMove, ActorReportsQuery, ActorStart, ActorStop, PeerDrain

__all__ = ["serve_control"]

_log = logging.getLogger("grid.server")

_MAX_CONCURRENT = 256


async def serve_control(
    mailbox: Mailbox, runner: ActorRunner, *, grace: float, drain: Callable[[], object]
) -> None:
    """Serve starts, stops and questions for reports until the mailbox ends.

    Args:
        mailbox: the peer's mailbox.
        runner: the actors of the peer.
        grace: seconds for a stop that does not say how many.
        drain: begins to drain the peer.
    """
    slots = asyncio.Semaphore(_MAX_CONCURRENT)
    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            await slots.acquire()
            request = await mailbox.receive()
            if request is None:
                return
            task = asyncio.create_task(_handle(request, runner, grace, drain))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: slots.release())
            del request  # or this frame would keep it from being dropped unanswered
    finally:
        if running:
            await asyncio.wait(running)


async def _handle(
    request: Request[Message], runner: ActorRunner, grace: float, drain: Callable[[], object]
) -> None:
    try:
        await _carry_out(request, runner, grace, drain)
    except GridError as error:
        if not request.done:
            refuse(request, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the sender is answered
        _log.exception("a request to the peer failed")
        if not request.done:
            request.fail(error, code="INTERNAL")
    else:
        if not request.done:
            request.ack()


async def _carry_out(
    request: Request[Message], runner: ActorRunner, grace: float, drain: Callable[[], object]
) -> None:
    message = request.message
    if isinstance(message, ActorStart):
        await runner.start(message.type, message.name, message.data)
    elif isinstance(message, ActorStop):
        wanted = message.grace_ms / 1000 if message.HasField("grace_ms") else grace
        await runner.stop(message.name, wanted)
    elif isinstance(message, ActorMove):
        wanted = message.grace_ms / 1000 if message.HasField("grace_ms") else grace
        await runner.move(message.name, message.peer, wanted)
    elif isinstance(message, ActorReportsQuery):
        request.respond(runner.reports())
    elif isinstance(message, PeerDrain):
        request.ack()
        drain()
    else:
        name = message.DESCRIPTOR.full_name
        taken = "ActorStart, ActorStop, ActorMove, ActorReportsQuery and PeerDrain"
        text = f"grid: a peer's mailbox takes {taken}, not {name}"
        raise RequestFailed(text, "UNIMPLEMENTED")

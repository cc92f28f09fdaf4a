"""Actors on the peers: a leader that gives every peer a worker, and the workers."""

from __future__ import annotations

import asyncio
import logging

import grid
from examples.corpus.count import count
from examples.corpus_pb2 import CountFile
from grid.errors import AlreadyRegistered, MessageTooLarge
from grid.sync import BlockingContext

__all__ = ["WORKER", "leader", "server", "worker"]

WORKER = "worker-"  # and then the name of its peer

_log = logging.getLogger("examples.corpus")

LARGEST = 4 * 1024 * 1024  # bytes of a file, and of its tokens

server = grid.Server("corpus", lease=2.0, max_message_bytes=LARGEST)


@server.actor("leader")
async def leader(ctx: grid.ActorContext) -> None:
    """Starts a worker on the peers that are there, and on those that come."""
    async with asyncio.TaskGroup() as starts, ctx.client.watch(grid.Kind.PEER) as events:
        async for event in events:
            if isinstance(event, grid.EntityFound):
                starts.create_task(_start_worker(ctx.client, event.entity.name))


async def _start_worker(client: grid.Client, peer: str) -> None:
    try:
        await client.start_actor("worker", name=WORKER + peer, peer=peer)
    except AlreadyRegistered:
        pass  # by the leader before this one
    except grid.GridError as error:
        # A peer that is gone has no need of it, and one that comes back is a new event.
        _log.warning("peer %s has no worker: %s", peer, error)


# Counting keeps a processor busy, so it is a plain function: it runs in a thread
# of its own, and the peer goes on keeping its lease alive and taking requests.
@server.actor("worker", mailbox=16)
def worker(ctx: BlockingContext) -> None:
    """Counts file after file."""
    for request in ctx.mailbox:
        match request.message:
            case CountFile(text=text):
                try:
                    request.respond(count(text, worker=ctx.name))
                except MessageTooLarge as error:  # almost every word a new name
                    request.fail(error)
            case other:
                request.fail(f"a worker cannot count a {type(other).__name__}")

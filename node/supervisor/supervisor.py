"""The supervisor of all pools of a namespace: an actor, which the leader is.

It watches the peers, starts an agent on each one that offers a kind, and grants workers to
clients. What it knows it learns again from agents and clients after it was started elsewhere;
workers and their clients go on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from grid.actor import ActorContext
from grid.errors import AlreadyRegistered, GridError
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.registry.entities import Entity, EntityFound
from grid.registry.names import Kind
from node.names import SUPERVISOR, SUPERVISOR_TYPE, VERSION, agent_name, agent_type, kind_of_agent
from node.pool_pb2 import AgentHello, ClientHello, KillWorker, PoolsQuery, PoolsStatus
from node.streams import PostingStream
from node.supervisor.pool import Pool

__all__ = ["supervise"]

_log = logging.getLogger("node.supervisor")

_TICK = 0.25  # seconds
_MAILBOX = 256  # requests that wait to be taken
_START_TIMEOUT = 10.0  # seconds for the start of an agent


async def supervise(ctx: ActorContext) -> None:
    """Supervise the pools of the namespace until the actor shall end.

    Call it in a `leader` of your own; peers that offer workers and define no leader have one
    that does nothing else.
    """
    await _Supervisor(ctx).run()


class _Supervisor:
    """The supervisor while it runs."""

    def __init__(self, ctx: ActorContext) -> None:
        self._ctx = ctx
        self._pools: dict[str, Pool] = {}
        self._peers: dict[str, frozenset[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until the actor shall end."""
        ctx = self._ctx
        async with ctx.client.watch(Kind.PEER) as events:
            for peer in await ctx.client.query(Kind.PEER):
                self._peer_found(peer)
            async with ctx.open_mailbox(SUPERVISOR, size=_MAILBOX, type=SUPERVISOR_TYPE) as mailbox:
                _log.info("%s supervises the pools of %r", ctx.peer, ctx.namespace)
                main = [
                    asyncio.create_task(self._receive(mailbox), name="pools receive"),
                    asyncio.create_task(self._watch(events), name="pools watch"),
                    asyncio.create_task(self._tick(), name="pools tick"),
                    asyncio.create_task(ctx.stopping.wait(), name="pools stop"),
                ]
                try:
                    done, _ = await asyncio.wait(main, return_when=asyncio.FIRST_COMPLETED)
                    for one in done:
                        one.result()
                finally:
                    ending = [*main, *self._tasks]
                    for one in ending:
                        one.cancel()
                    await asyncio.gather(*ending, return_exceptions=True)

    def _pool(self, kind: str) -> Pool:
        found = self._pools.get(kind)
        if found is None:
            found = self._pools[kind] = Pool(kind, self._start_agent, time.monotonic)
        return found

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for pool in list(self._pools.values()):
                pool.tick()
                if pool.unused:  # somebody asked for a kind that there is not
                    del self._pools[pool.kind]

    # -- peers -------------------------------------------------------------------------------

    async def _watch(self, events: Any) -> None:
        async for event in events:
            if isinstance(event, EntityFound):
                self._peer_found(event.entity)
            else:
                self._peer_lost(event.entity)

    def _peer_found(self, peer: Entity) -> None:
        kinds = frozenset(filter(None, map(kind_of_agent, peer.types)))
        for kind in self._peers.get(peer.name, frozenset()) - kinds:
            self._pool(kind).peer_lost(peer.name)
        if kinds:
            self._peers[peer.name] = kinds
        for kind in kinds:
            self._pool(kind).peer_found(peer.name)

    def _peer_lost(self, peer: Entity) -> None:
        for kind in self._peers.pop(peer.name, ()):
            self._pool(kind).peer_lost(peer.name)

    def _start_agent(self, kind: str, peer: str) -> None:
        self._spawn(self._started(kind, peer), f"start of the agent of {kind} on {peer}")

    async def _started(self, kind: str, peer: str) -> None:
        try:
            await self._ctx.client.start_actor(
                agent_type(kind), name=agent_name(kind, peer), peer=peer, timeout=_START_TIMEOUT
            )
        except AlreadyRegistered:
            pass  # it runs, and comes by itself
        except GridError as error:  # it is tried again while the peer is there
            _log.warning("the agent of %r on %r did not start: %s", kind, peer, error)

    # -- streams and requests ----------------------------------------------------------------

    async def _receive(self, mailbox: Mailbox) -> None:
        async for request in mailbox:
            message = request.message
            try:
                match message:
                    case AgentHello() if request.opens_stream:
                        self._serve(request, message.version, self._pool(message.kind).serve_agent)
                    case ClientHello() if request.opens_stream:
                        pool = self._pool(message.kind)
                        self._serve(request, message.version, pool.serve_client)
                    case PoolsQuery():
                        request.respond(self._status(message.kind))
                    case KillWorker():
                        self._kill(request, message.worker)
                    case _:
                        request.fail(f"{SUPERVISOR!r} is the supervisor of pools: use node.Client")
            except GridError as error:
                _log.debug("a request to the supervisor came to nothing: %s", error)

    def _serve(
        self, request: Request[Any], version: int, serve: Callable[[Any, PostingStream], Any]
    ) -> None:
        if version != VERSION:
            request.fail(f"version {version} of pools is not spoken; this is {VERSION}")
            return
        hello, stream = request.message, request.accept()

        async def serving() -> None:
            try:
                async with PostingStream(stream) as posting:
                    await serve(hello, posting)
            except GridError as error:
                _log.debug("a stream to the supervisor has ended: %s", error)

        self._spawn(serving(), f"pools serve {type(hello).__name__}")

    def _status(self, kind: str) -> PoolsStatus:
        pools = [one for one in self._pools.values() if not kind or one.kind == kind]
        return PoolsStatus(pools=[one.status() for one in sorted(pools, key=lambda one: one.kind)])

    def _kill(self, request: Request[Any], worker: str) -> None:
        if any(pool.kill(worker) for pool in self._pools.values()):
            request.ack()
        else:
            request.fail(f"no worker {worker!r} is known", code="NOT_FOUND")

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

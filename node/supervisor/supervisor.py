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
from grid.errors import AlreadyRegistered, GridError, InvalidArgument
from grid.mailbox.mailbox import Mailbox
from grid.mailbox.request import Request
from grid.registry.entities import Entity, EntityFound
from grid.registry.names import Kind
from node.names import SUPERVISOR, SUPERVISOR_TYPE, VERSION, agent_name, agent_type, kind_of_agent
from node.pool_pb2 import (
    AgentHello,
    ClientHello,
    DrainPeer,
    KillWorker,
    PoolsQuery,
    PoolsStatus,
    ScalePool,
)
from node.streams import PostingStream
from node.supervisor.machine import serve
from node.supervisor.orphans import Orphans
from node.supervisor.pool import Pool

__all__ = ["supervise"]

_log = logging.getLogger("node.supervisor")

_TICK = 0.25  # seconds
_MAILBOX = 256  # requests that wait to be taken
_LOOKING = 2.0  # seconds for a look at the registered peers
_CLOSE = 2.0  # seconds for machines of pools to be closed, at the end
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
        self._served: dict[str, asyncio.Task[None]] = {}  # machines of pools, by kind
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: set[tuple[str, str]] = set()  # kinds and peers whose agents do not start
        self._orphans = Orphans(ctx.client.etcd, self._spawn)
        self._closing: set[asyncio.Task[None]] = set()  # machines of pools that are no more

    async def run(self) -> None:
        """Run until the actor shall end."""
        ctx = self._ctx
        async with ctx.client.watch(Kind.PEER) as events:
            peers = await ctx.client.query(Kind.PEER)
            for peer in peers:
                self._peer_found(peer)
            self._orphans.check(peers)
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
                    ending = [*main, *self._tasks, *self._served.values()]
                    for one in ending:
                        one.cancel()
                    await asyncio.gather(*ending, return_exceptions=True)
                    for pool in self._pools.values():
                        pool.machine.dispose()
                    closing = [*self._closing]  # cancelled already: a second time would cut it
                    if closing:
                        await asyncio.wait(closing, timeout=_CLOSE)
                    for one in closing:
                        one.cancel()
                    await asyncio.gather(*closing, return_exceptions=True)

    def _pool(self, kind: str) -> Pool:
        found = self._pools.get(kind)
        if found is None:
            found = self._pools[kind] = Pool(
                kind, self._start_agent, self._has_joined, time.monotonic
            )
        return found

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            for pool in list(self._pools.values()):
                pool.tick()
                if pool.offered and pool.kind not in self._served:
                    serving = serve(pool.machine, self._ctx)
                    name = f"machine of pool {pool.kind}"
                    self._served[pool.kind] = asyncio.create_task(serving, name=name)
                if pool.unused:  # a client asked for a kind that there is not, or it has gone
                    del self._pools[pool.kind]
                    self._end_machine(pool)

    def _end_machine(self, pool: Pool) -> None:
        closing = self._served.pop(pool.kind, None)
        if closing is None:
            pool.machine.dispose()
            closing = asyncio.create_task(pool.machine.join(), name=f"end of pool {pool.kind}")
        else:
            closing.cancel()
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    # -- peers -------------------------------------------------------------------------------

    async def _watch(self, events: Any) -> None:
        async for event in events:
            if isinstance(event, EntityFound):
                self._peer_found(event.entity)
            else:
                self._peer_lost(event.entity)

    def _peer_found(self, peer: Entity) -> None:
        self._orphans.found(peer)
        kinds = frozenset(filter(None, map(kind_of_agent, peer.types)))
        for kind in self._peers.get(peer.name, frozenset()) - kinds:
            self._pool(kind).peer_lost(peer.name)
        if kinds:
            self._peers[peer.name] = kinds
        else:
            self._peers.pop(peer.name, None)
        for kind in kinds:
            self._pool(kind).peer_found(peer.name, peer.annotations)

    def _peer_lost(self, peer: Entity) -> None:
        self._orphans.lost(peer)
        for kind in self._peers.pop(peer.name, ()):
            self._failing.discard((kind, peer.name))
            self._pool(kind).peer_lost(peer.name)

    async def _has_joined(self, kind: str) -> bool:
        try:
            peers = await self._ctx.client.query(Kind.PEER, timeout=_LOOKING)
        except GridError:  # the watch tells when etcd is back
            return False
        return any(agent_type(kind) in one.types for one in peers)

    def _start_agent(self, kind: str, peer: str) -> None:
        self._spawn(self._started(kind, peer), f"start of the agent of {kind} on {peer}")

    async def _started(self, kind: str, peer: str) -> None:
        try:
            await self._ctx.client.start_actor(
                agent_type(kind), name=agent_name(kind, peer), peer=peer, timeout=_START_TIMEOUT
            )
        except AlreadyRegistered:
            self._failing.discard((kind, peer))  # it runs, and comes by itself
        except GridError as error:  # it is tried again while the peer is there
            known = (kind, peer) in self._failing or kind not in self._peers.get(peer, ())
            level = logging.DEBUG if known else logging.WARNING
            _log.log(level, "the agent of %r on %r did not start: %s", kind, peer, error)
            if kind in self._peers.get(peer, ()):
                self._failing.add((kind, peer))
        else:
            self._failing.discard((kind, peer))

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
                    case ScalePool():
                        self._scale(request, message)
                    case DrainPeer():
                        self._drain(request, message)
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
            except InvalidArgument as error:
                _log.warning("a stream to the supervisor is refused: %s", error)
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
            text = f"no worker {worker!r} is known whose agent is connected"
            request.fail(text, code="NOT_FOUND")

    def _scale(self, request: Request[Any], order: ScalePool) -> None:
        pool = self._pools.get(order.kind)
        if pool is None or not pool.offered:
            request.fail(f"no peer offers workers of kind {order.kind!r}", code="NOT_FOUND")
            return
        if order.size > pool.most:
            text = f"the peers of {order.kind!r} have room for {pool.most} workers at most"
            request.fail(f"{text}, not {order.size}", code="OUT_OF_RANGE")
            return
        pool.scale(order.size if order.HasField("size") else None)
        request.ack()

    def _drain(self, request: Request[Any], order: DrainPeer) -> None:
        drained = [one.drain(order.peer, not order.undo) for one in self._pools.values()]
        if any(drained):
            request.ack()
        else:
            request.fail(f"no peer {order.peer!r} offers workers", code="NOT_FOUND")

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

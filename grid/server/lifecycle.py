"""A server while it runs: joined, perhaps fenced and joined again, drained, left.

    STARTING --join--> SERVING --stop--> DRAINING --> STOPPED
                        |   ^
                 lease  |   | join
                 lost   v   |
                       FENCED

The port is bound and answers (with a refusal) before the peer joins, so a client
that finds it in the registry also reaches it. Joining and fencing are in `joining`.
Draining: actors get time to end, each name goes when its owner ended, and the lease
goes last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from grid.aio import being_cancelled
from grid.client.client import Client
from grid.codec import Codec
from grid.deadline import Deadline
from grid.errors import GridError, OutcomeUnknown, ServerNotRunning
from grid.etcd import EtcdClient
from grid.forks import sockets_stay
from grid.mailbox.dispatcher import State
from grid.mailbox.interception import IncomingInterception
from grid.registry.membership import Membership
from grid.server.actors import ActorRunner
from grid.server.config import ServerConfig
from grid.server.definitions import Definition
from grid.server.foreground import PATIENCE
from grid.server.joining import Joining
from grid.server.peer import Peer
from grid.server.resources import Resources
from grid.server.statistics import ServerStatistics, statistics_of
from grid.transport.answer import Answer, all_done
from grid.transport.service import WireService
from grid.transport.unix_paths import socket_name

__all__ = ["Lifecycle"]

_log = logging.getLogger("grid.server")

_GRACE = 2.0  # seconds to tell etcd that the names are free
_LAST_ANSWERS = 0.5  # seconds for answers that are given but not written yet
_RESOURCES = 5.0  # seconds for the resources to be left
_UNWIND = 2.0  # seconds for what was cancelled by a cut to end, and for the resources
_HURRIED = 0.2  # seconds for each of these when the process shall end at once


class Lifecycle:
    """The running parts of a server, and the order in which they begin and end."""

    def __init__(
        self,
        config: ServerConfig,
        codec: Codec,
        definitions: Iterable[Definition],
        interception: IncomingInterception,
        resources: Resources,
    ) -> None:
        self._config = config
        self._resources = resources
        resources.serve(codec, config.max_message_bytes)
        self._etcd = EtcdClient(config.etcd)
        self._client: Client | None = None
        self._codec = codec
        socket = config.new_socket_path()
        self._service = WireService(
            config.listen,
            settings=config.session_settings,
            reflection=config.reflection,
            unix_socket=socket,
            tls=config.tls,
        )
        self.peer: Peer = Peer(
            config.namespace,
            config.name or "",  # the name and the address are those of the next join
            "",
            codec=codec,
            limit=config.max_message_bytes,
            socket=socket_name(socket) if socket else "",
            tls=config.tls is not None,
        )
        self._interception = interception
        if interception:
            self.peer.dispatcher.interception = interception
        self.runner: ActorRunner = ActorRunner(
            self.peer, lambda: self.client, definitions, config.slots
        )
        self._joining = Joining(
            config, self._etcd, self.peer, self.runner, self._service, self._begin_stop
        )
        self._keeper: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._undoing: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self._kept_from_children = contextlib.ExitStack()
        sockets: list[int | str] = [self._service.port, *([socket] if socket else [])]
        self._kept_from_children.enter_context(sockets_stay(*sockets))
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def client(self) -> Client:
        """The peer's own client, made when first asked for."""
        if self._client is None:
            self._client = Client(
                self._config.namespace,
                etcd=self._etcd,
                codec=self._codec,
                **self._config.client_options,
            )
        return self._client

    def statistics(self) -> ServerStatistics:
        """Snapshot of the counters; see `Server.statistics`."""
        return statistics_of(self.peer.dispatcher, *self._service.statistics())

    async def start(self, *, any_port: bool = False) -> None:
        """Answer on the port and join; on any failure everything is undone.

        Args:
            any_port: do not wait for an address that a former peer has left locked.

        Raises:
            PortLocked: with `any_port`; another port is better than to wait.
            ServerNotRunning: `stop` was called meanwhile.
        """
        self._starting = asyncio.create_task(self._start(any_port), name="start")
        try:
            await self._starting
        except asyncio.CancelledError:
            await self._undo()
            if being_cancelled():
                raise
            raise ServerNotRunning from None
        except BaseException:
            await self._undo()
            raise

    async def _start(self, any_port: bool) -> None:
        if any_port:
            await self._joining.check_port()
        await self._service.start(self.peer.dispatcher)
        await self._resources.open()
        await self._joining.join()
        self._keeper = asyncio.create_task(self._keep(), name="lease keeper")

    async def _keep(self) -> None:
        try:
            await self._joining.keep()
        except GridError as error:
            if not self.failed.done():
                self.failed.set_exception(error)

    async def _undo(self) -> None:
        # Not in `_start`: a task that is cancelled before its first step runs nothing of it.
        if self._undoing is None:
            self._undoing = asyncio.create_task(self._close(), name="undo of the start")
        await asyncio.shield(self._undoing)

    async def stop(self, grace: float) -> None:
        """Drain and leave, once; further callers wait for the same end."""
        if self._stopping is None or not self._stopping.done():
            self.peer.check_loop()
        await asyncio.shield(self._begin_stop(grace))

    def _begin_stop(self, grace: float | None = None) -> asyncio.Task[None]:
        if self._stopping is None:
            grace = self._config.drain_timeout if grace is None else grace
            self._stopping = asyncio.create_task(self._stop(grace), name="drain")
        return self._stopping

    @property
    def ending(self) -> bool:
        """True once it has begun to stop."""
        return self._stopping is not None

    def hurry(self) -> None:
        """Cut a drain short: cancel what still runs."""
        self._hurried.set()

    @property
    def patience(self) -> float:
        """Seconds that the event loop may take to end after the server has."""
        return self._at_most(PATIENCE)

    def _at_most(self, seconds: float) -> float:
        return min(seconds, _HURRIED) if self._hurried.is_set() else seconds

    # -- drained -------------------------------------------------------------------

    async def _stop(self, grace: float) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._keeper is None:
            await self._undo()
            return
        deadline = Deadline.after(grace)
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        if self.peer.dispatcher.state is State.SERVING:
            self.peer.dispatcher.state = State.DRAINING
        await self._service.set_serving(False)
        _log.info("peer %s drains", self.peer.name)
        self._joining.stop_leading()
        if self.runner.begin_end():  # before mailboxes are drained, by which actors end
            await self.peer.withdraw(self._config.annotations, self.runner.offers())
        for mailbox in self.peer.dispatcher.mailboxes():
            mailbox._drain()
        stuck = await self._end_actors(grace)
        await self._joining.end_tasks()
        await self._last_requests(deadline)
        if stuck:
            text = "peer %s leaves its names to the lease: still running: %s"
            _log.error(text, self.peer.name, ", ".join(stuck))
        await self._close(revoke=not stuck)
        if not self.failed.done():
            self.failed.set_result(None)
        _log.info("peer %s left", self.peer.name)

    def cut(self, reason: str) -> asyncio.Task[None]:
        """End as the end of the process would: no drain, and no word to etcd.

        It is for `grid.testing.kill`. Until this returns all happens in one turn of the event
        loop, so that no task sees a half of it.

        Returns:
            The task that closes the rest, for which `stop` waits, too.

        Raises:
            WrongEventLoop: it runs on another event loop.
        """
        peer = self.peer
        peer.check_loop()
        peer.dispatcher.state = State.STOPPED
        peer.dispatcher.close()
        membership, peer.membership = peer.membership, None
        for mailbox in peer.dispatcher.mailboxes():
            mailbox._cut(OutcomeUnknown(reason))
        self.runner.cut(reason)
        self._joining.cancel_tasks()
        for task in (self._starting, self._keeper):
            if task is not None:
                task.cancel()
        self._stopping = asyncio.create_task(self._cut(membership, reason), name="cut")
        return self._stopping

    async def _cut(self, membership: Membership | None, reason: str) -> None:
        await self._service.cut(reason)
        if membership is not None:
            await membership.leave(revoke=False)
        await self._joining.end_tasks()
        await asyncio.wait([one for one in (self._starting, self._keeper) if one is not None])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_UNWIND):
                await self.runner.wait_ended()
        if names := self.runner.names():
            _log.error("cut, but go on when they are cancelled: %s", ", ".join(names))
        await self._interception.close(0.0)
        if self._client is not None:
            await self._client.close()
        await self._resources.close(_UNWIND)
        with contextlib.suppress(GridError):
            await self._etcd.close()
        self._kept_from_children.close()
        if not self.failed.done():
            self.failed.set_result(None)

    async def _end_actors(self, grace: float) -> list[str]:
        ending = asyncio.create_task(self.runner.stop_all("the peer stops", grace))
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait([ending, hurried], return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                self.runner.hurry("the peer was told to stop at once")
            return await ending
        finally:
            hurried.cancel()

    async def _last_requests(self, deadline: Deadline) -> None:
        # Mailboxes outside of actors: their owners may still answer what they hold.
        mailboxes = self.peer.dispatcher.mailboxes()
        answers = [answer for mailbox in mailboxes for answer in mailbox._unanswered]
        if (answers or self._interception.busy) and not self._hurried.is_set():
            hurried = asyncio.create_task(self._hurried.wait())
            everything = asyncio.create_task(self._all_answered(answers))
            await asyncio.wait(
                [everything, hurried],
                timeout=deadline.remaining(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            everything.cancel()
            hurried.cancel()

    async def _all_answered(self, answers: Iterable[Answer]) -> None:
        await all_done(answers)
        await self._interception.idle()

    async def _close(self, *, revoke: bool = True) -> None:
        dispatcher = self.peer.dispatcher
        for mailbox in dispatcher.mailboxes():
            mailbox._end(None)
        await self._interception.close(self._at_most(_LAST_ANSWERS))
        await self._resources.close(self._at_most(_RESOURCES))
        if self._client is not None:
            await self._client.close()
        await self._service.stop(self._at_most(_LAST_ANSWERS))
        dispatcher.close()
        membership, self.peer.membership = self.peer.membership, None
        with contextlib.suppress(GridError):  # names that cannot be freed now go with the lease
            if membership is not None:
                await membership.leave(revoke=revoke, timeout=self._at_most(_GRACE))
        await self._etcd.close()
        self._kept_from_children.close()
        # Ended tasks hold the frames of their last calls, which keep the connection to etcd.
        self._keeper = None

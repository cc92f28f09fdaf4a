"""The agent of one kind of workers on one peer: an actor that starts and watches workers.

It keeps as many workers alive as the supervisor says, tells it of each, and goes on by itself
while there is no supervisor. Its workers end with it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from grid.actor import ActorContext
from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.server.config import ServerConfig
from node.agent.assignments import assignment
from node.agent.capacity import capacity, processors
from node.agent.child import ChildWorker
from node.agent.handle import WorkerHandle
from node.agent.in_process import TaskWorker
from node.agent.logs import WorkerLogs
from node.agent.names import Releases
from node.agent.session_guard import SessionGuard
from node.agent.spares import Spares
from node.conversions import to_capacity, to_settings
from node.names import LOG_GONE, SUPERVISOR, VERSION
from node.policy.instructions import End, Kill, Prepare, SlotInstruction, Spawn, Trouble
from node.policy.slots import Slots
from node.pool_pb2 import (
    AgentHello,
    FromAgent,
    Order,
    ToAgent,
    WorkerLog,
    WorkerLogQuery,
    WorkerReport,
)
from node.pool_pb2 import Capacity as CapacityMessage
from node.streams import PostingStream
from node.texts import shortened
from node.worker.definition import WorkerDefinition
from node.worker.process import Assignment

__all__ = ["Agent"]

_log = logging.getLogger("node.agent")

_TICK = 0.1  # seconds
_MEASURE = 2.0  # seconds between two looks at what is free here
_BEAT = 1.0  # seconds between signs of life at most
_RELEASES = 1.0  # seconds for the names of the last workers to be freed, at the end
_PAUSES = (0.05, 1.0)  # seconds between attempts to reach a supervisor: the first, the longest


@dataclass(slots=True)
class _Seen:
    handle: WorkerHandle
    report: WorkerReport
    started: float


class Agent:
    """Agent of a kind; an actor.

    Args:
        definition: of the kind.
        config: of its peer, for the peers that its workers are.
        address: of its peer, once it has started.
    """

    def __init__(
        self, definition: WorkerDefinition, config: ServerConfig, address: Callable[[], str]
    ) -> None:
        self._definition = definition
        self._config = config
        self._address = address
        self._slots = Slots(definition.settings, random.random, max(2, int(processors())))
        self._workers: dict[str, _Seen] = {}
        self._spares = Spares(definition.function)
        self._logs = WorkerLogs(definition.kind, definition.settings)
        self._guard = SessionGuard()
        self._releases = Releases()
        self._posting: PostingStream | None = None
        self._draining = False
        self._drained = False  # by an operator
        self._order = Order()  # of an operator, for the next supervisor
        self._loop = asyncio.get_running_loop()
        self._context: ActorContext | None = None

    async def act(self, ctx: ActorContext) -> None:
        """Run until the peer drains, then let the workers finish."""
        self._context = ctx
        tasks = [
            asyncio.create_task(self._follow(ctx), name=f"agent {ctx.name} follows"),
            asyncio.create_task(self._tick(), name=f"agent {ctx.name} ticks"),
            asyncio.create_task(self._answer(ctx.mailbox), name=f"agent {ctx.name} answers"),
        ]
        stopping = asyncio.create_task(ctx.stopping.wait(), name=f"agent {ctx.name} stops")
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                for one in tasks:
                    if one.done():
                        one.result()
            await self._drain(ctx)
        finally:
            stopping.cancel()
            self._slots.drain(self._loop.time(), 0.0)
            ended = "its agent has ended"
            workers = [one.handle for one in self._workers.values()]
            for handle in workers:
                handle.kill(ended)
            handles = [*workers, *self._spares.kill(ended)]
            try:
                await asyncio.gather(*(one.ended() for one in handles))
            finally:
                self._logs.close()
                await self._guard.close()
                await self._releases.done(_RELEASES)
                for one in tasks:
                    one.cancel()
                await asyncio.gather(*tasks, stopping, return_exceptions=True)

    async def _drain(self, ctx: ActorContext) -> None:
        self._draining = True
        self._post(FromAgent(draining=True))
        self._spares.kill("its agent drains")
        patience = ctx.deadline.remaining() if ctx.deadline is not None else 0.0
        # A part of the grace is for the last workers, which have to be killed.
        self._carry_out(self._slots.drain(self._loop.time(), 0.8 * patience))
        await asyncio.gather(*(seen.handle.ended() for seen in [*self._workers.values()]))

    # -- the supervisor ----------------------------------------------------------------------

    async def _follow(self, ctx: ActorContext) -> None:
        first, longest = _PAUSES
        pause = first
        while True:
            hello = self._hello(ctx)
            try:
                async with ctx.client.stream(SUPERVISOR, hello) as stream:
                    pause = first
                    async with PostingStream(stream) as posting:
                        self._catch_up(posting, [one.name for one in hello.workers])
                        await self._obey(posting)
            except GridError as error:
                _log.debug("agent %s has no supervisor: %s", ctx.name, error)
            finally:
                self._supervised(None)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, longest)

    def _catch_up(self, posting: PostingStream, told: list[str]) -> None:
        """Tell what has changed since the hello was written."""
        for seen in self._workers.values():
            posting.post(FromAgent(worker=self._report(seen)))
        for name in told:
            if name not in self._workers:
                gone = WorkerReport(name=name, state=WorkerReport.GONE, reason="it has ended")
                posting.post(FromAgent(worker=gone))
        posting.post(FromAgent(trouble=self._slots.trouble))
        if self._draining:
            posting.post(FromAgent(draining=True))

    def _supervised(self, posting: PostingStream | None) -> None:
        self._posting = posting
        for seen in self._workers.values():
            seen.handle.supervised(posting is not None)

    async def _obey(self, posting: PostingStream) -> None:
        self._supervised(posting)
        async for message in posting.stream:
            if not isinstance(message, ToAgent):
                continue
            at = self._loop.time()
            match message.WhichOneof("kind"):
                case "count" if not self._draining:
                    if not message.count:
                        self._spares.kill("no workers are wanted here")
                    self._carry_out(self._slots.scale(message.count, at))
                case "retire":
                    self._carry_out(self._slots.retire(message.retire, at))
                case "order":
                    self._order = message.order
                case "drained":
                    self._drained = message.drained
                    posting.post(FromAgent(drained=message.drained))
                case "kill":
                    self._carry_out(self._slots.kill(message.kill, "its end was ordered"))

    def _hello(self, ctx: ActorContext) -> AgentHello:
        return AgentHello(
            version=VERSION,
            kind=self._definition.kind,
            peer=ctx.peer,
            settings=to_settings(self._definition.settings),
            trouble=self._slots.trouble,
            capacity=self._capacity(),
            order=self._order,
            drained=self._drained,
            workers=[self._report(one) for one in self._workers.values()],
        )

    def _capacity(self) -> CapacityMessage:
        return to_capacity(capacity(len(self._workers)))

    def _report(self, seen: _Seen) -> WorkerReport:
        seen.report.age = self._loop.time() - seen.started
        seen.report.pid = seen.handle.pid
        return seen.report

    def _post(self, message: FromAgent) -> None:
        if self._posting is not None:
            self._posting.post(message)

    async def _answer(self, mailbox: Mailbox) -> None:
        async for request in mailbox:
            message = request.message
            if not isinstance(message, WorkerLogQuery):
                request.fail("this is an agent of workers: use node.Client")
                continue
            answer = self._log_of(message)
            if answer is None:
                gone = self._logs.had(message.worker)
                why = "is no longer kept" if gone else "is not here"
                text = f"the log of worker {message.worker!r} {why}"
                request.fail(text, code=LOG_GONE if gone else "NOT_FOUND")
            else:
                try:
                    request.respond(answer)
                except GridError as error:  # too large for this peer: no reason to end its workers
                    request.fail(error)

    def _log_of(self, query: WorkerLogQuery) -> WorkerLog | None:
        seen = self._workers.get(query.worker)
        after = query.after if query.HasField("after") else None
        part = self._logs.read(query.worker, after, query.tail)
        if part is None and seen is None:
            return None
        if part is None:  # it has printed nothing
            return WorkerLog()
        lines, position, more = part.lines, part.position, part.more
        return WorkerLog(lines=lines, position=position, more=more, ended=seen is None)

    # -- workers -----------------------------------------------------------------------------

    async def _tick(self) -> None:
        settings, measured = self._definition.settings, self._loop.time()
        while True:
            at = self._loop.time()
            self._carry_out(self._slots.tick(at))
            if (settings.cpus or settings.room) and at - measured >= _MEASURE:
                measured = at
                self._post(FromAgent(capacity=self._capacity()))
            await asyncio.sleep(_TICK)

    def _carry_out(self, instructions: Iterable[SlotInstruction]) -> None:
        for one in instructions:
            match one:
                case Spawn():
                    self._spawn()
                case Prepare():
                    self._spares.add(ChildWorker(self._assignment(), self, self._guard, wait=True))
                case End(worker) if worker in self._workers:
                    self._workers[worker].handle.end()
                case Kill(worker, reason) if worker in self._workers:
                    _log.warning("worker %s is killed: %s", worker, reason)
                    self._workers[worker].handle.kill(reason)
                case Trouble(text):
                    if text:  # the whole of it is in the log: the worker has printed it
                        _log.error("workers of %r fail: %s", self._definition.kind, shortened(text))
                    self._post(FromAgent(trouble=text))

    def _spawn(self) -> None:
        handle: WorkerHandle
        spare = self._spares.take()
        if spare is not None:
            spare.begin()
            handle = spare
        elif self._definition.settings.isolation == "process":
            handle = ChildWorker(self._assignment(), self, self._guard)
        else:
            handle = TaskWorker(self._new_name(), self._definition, self._host(), self, self._beat)
        name = handle.name
        report = WorkerReport(name=name, state=WorkerReport.STARTING)
        handle.supervised(self._posting is not None)
        self._workers[name] = _Seen(handle, report, self._loop.time())
        self._slots.spawned(name, self._loop.time(), spare=spare is not None)
        self._post(FromAgent(worker=self._report(self._workers[name])))

    def _host(self) -> ActorContext:
        if self._context is None:
            raise RuntimeError("an agent starts workers only while it runs")
        return self._context

    def _new_name(self) -> str:
        return f"{self._definition.kind}-{secrets.token_hex(4)}"

    @property
    def _beat(self) -> float:
        settings = self._definition.settings
        longest = min(_BEAT, settings.heartbeat / 4)
        return min(longest, settings.job_timeout / 4) if settings.job_timeout else longest

    def _assignment(self) -> Assignment:
        return assignment(
            self._definition,
            self._config,
            worker=self._new_name(),
            peer=self._host().peer,
            address=self._address(),
            beat=self._beat,
        )

    # -- calls of workers --------------------------------------------------------------------

    def forked(self, worker: WorkerHandle) -> None:
        """The process of a worker is there."""
        seen = self._workers.get(worker.name)
        if seen is not None:
            self._post(FromAgent(worker=self._report(seen)))

    def ready(self, worker: WorkerHandle) -> None:
        """A worker can serve."""
        seen = self._workers.get(worker.name)
        if seen is not None:
            seen.report.state = WorkerReport.IDLE
            self._post(FromAgent(worker=self._report(seen)))
            self._carry_out(self._slots.ready(worker.name, self._loop.time()))

    def client(self, worker: WorkerHandle, client: str) -> None:
        """A worker serves this client from now on; "" for none."""
        seen = self._workers.get(worker.name)
        if seen is not None:
            seen.report.state = WorkerReport.SERVING if client else WorkerReport.IDLE
            seen.report.client = client
            self._post(FromAgent(worker=self._report(seen)))

    def beat(self, worker: WorkerHandle, what: Mapping[str, Any]) -> None:
        """A sign of life of a worker."""
        seen = self._workers.get(worker.name)
        if seen is not None:
            report = seen.report
            report.memory, report.jobs = int(what["memory"]), int(what["jobs"])
            report.errors = int(what["errors"])
            at = self._loop.time()
            found = self._slots.beat(
                worker.name,
                at,
                busy=float(what["busy"]),
                memory=report.memory,
                errors=report.errors if self._definition.is_machine else 0,
            )
            self._post(FromAgent(worker=self._report(seen)))
            self._carry_out(found)

    def stuck(self, worker: WorkerHandle, reason: str) -> None:
        """A worker has a job that does not end after its client has left or cancelled it."""
        self._carry_out(self._slots.kill(worker.name, reason))

    def printed(self, worker: WorkerHandle, line: str) -> None:
        """A line of a worker's output."""
        self._logs.write(worker.name, line)

    def exited(self, worker: WorkerHandle, reason: str) -> None:
        """A worker has ended, or a spare process."""
        self._logs.ended(worker.name)
        if self._spares.ended(worker.name):
            by_order = isinstance(worker, ChildWorker) and worker.killed
            if not by_order:
                _log.warning(
                    "a spare process of %r has ended: %s", self._definition.kind, shortened(reason)
                )
            self._slots.spare_ended(self._loop.time(), by_order=by_order)
            return
        seen = self._workers.pop(worker.name, None)
        if seen is None:
            return
        if isinstance(worker, ChildWorker):
            self._releases.release(self._host().client.etcd, self._config.namespace, worker.name)
        seen.report.state, seen.report.reason = WorkerReport.GONE, reason
        self._post(FromAgent(worker=self._report(seen)))
        self._carry_out(self._slots.exited(worker.name, reason, self._loop.time()))

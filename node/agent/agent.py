"""The agent of one kind of workers on one peer: an actor that starts and watches workers.

It keeps as many workers alive as the supervisor says, tells it of each, and goes on by itself
while there is no supervisor. Its workers end with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from grid.actor import ActorContext
from grid.errors import GridError
from grid.mailbox.mailbox import Mailbox
from grid.server.config import ServerConfig
from node.agent.child import ChildWorker
from node.agent.handle import WorkerHandle
from node.agent.in_process import TaskWorker
from node.conversions import to_settings
from node.names import SUPERVISOR, VERSION
from node.policy.instructions import End, Kill, SlotInstruction, Spawn, Trouble
from node.policy.slots import Slots
from node.pool_pb2 import (
    AgentHello,
    FromAgent,
    ToAgent,
    WorkerLog,
    WorkerLogQuery,
    WorkerReport,
)
from node.streams import PostingStream
from node.worker.definition import WorkerDefinition
from node.worker.process import Assignment

__all__ = ["Agent"]

_log = logging.getLogger("node.agent")

_TICK = 0.1  # seconds
_LOGS = 20  # of workers that have ended
_BEAT = 1.0  # seconds between signs of life at most
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
        self._slots = Slots(definition.settings, random.random)
        self._workers: dict[str, _Seen] = {}
        self._logs: dict[str, deque[str]] = {}  # of the last workers that have ended
        self._posting: PostingStream | None = None
        self._draining = False
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
            for seen in self._workers.values():
                seen.handle.kill("its agent has ended")
            await asyncio.gather(*(seen.handle.ended() for seen in [*self._workers.values()]))
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, ctx: ActorContext) -> None:
        self._draining = True
        self._post(FromAgent(draining=True))
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
                self._posting = None
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

    async def _obey(self, posting: PostingStream) -> None:
        self._posting = posting
        async for message in posting.stream:
            if not isinstance(message, ToAgent):
                continue
            at = self._loop.time()
            match message.WhichOneof("kind"):
                case "count" if not self._draining:
                    self._carry_out(self._slots.scale(message.count, at))
                case "retire":
                    self._carry_out(self._slots.retire(message.retire, at))
                case "kill":
                    self._carry_out(self._slots.kill(message.kill, "it was told to"))

    def _hello(self, ctx: ActorContext) -> AgentHello:
        return AgentHello(
            version=VERSION,
            kind=self._definition.kind,
            peer=ctx.peer,
            settings=to_settings(self._definition.settings),
            trouble=self._slots.trouble,
            workers=[self._report(one) for one in self._workers.values()],
        )

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
            seen = self._workers.get(message.worker)
            log = self._logs.get(message.worker) if seen is None else seen.handle.log
            if log is None:
                request.fail(f"no worker {message.worker!r} is or was here", code="NOT_FOUND")
            else:
                request.respond(WorkerLog(lines=log))

    # -- workers -----------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            self._carry_out(self._slots.tick(self._loop.time()))
            await asyncio.sleep(_TICK)

    def _carry_out(self, instructions: Iterable[SlotInstruction]) -> None:
        for one in instructions:
            match one:
                case Spawn():
                    self._spawn()
                case End(worker) if worker in self._workers:
                    self._workers[worker].handle.end()
                case Kill(worker, reason) if worker in self._workers:
                    _log.warning("worker %s is killed: %s", worker, reason)
                    self._workers[worker].handle.kill(reason)
                case Trouble(text):
                    if text:
                        _log.error("workers of %r fail: %s", self._definition.kind, text)
                    self._post(FromAgent(trouble=text))

    def _spawn(self) -> None:
        settings = self._definition.settings
        name = f"{self._definition.kind}-{secrets.token_hex(4)}"
        beat = min(_BEAT, settings.heartbeat / 4)
        if settings.job_timeout:
            beat = min(beat, settings.job_timeout / 4)
        handle: WorkerHandle
        if settings.isolation == "process":
            handle = ChildWorker(self._assignment(name, beat), self)
        else:
            handle = TaskWorker(name, self._definition, self._host(), self, beat)
        report = WorkerReport(name=name, state=WorkerReport.STARTING)
        self._workers[name] = _Seen(handle, report, self._loop.time())
        self._slots.spawned(name, self._loop.time())
        self._post(FromAgent(worker=report))

    def _host(self) -> ActorContext:
        if self._context is None:
            raise RuntimeError("an agent starts workers only while it runs")
        return self._context

    def _assignment(self, worker: str, beat: float) -> Assignment:
        definition, config = self._definition, self._config
        host = self._address().rpartition(":")[0]
        listen_host = config.listen.rpartition(":")[0]
        return Assignment(
            worker=worker,
            kind=definition.kind,
            module=definition.origin.module,
            path=definition.origin.path,
            parent=os.getpid(),
            beat=beat,
            arguments=sys.argv,
            namespace=config.namespace,
            etcd=asdict(config.etcd),
            listen=f"{listen_host}:0",
            advertise=host if config.advertise is not None else None,
            lease=config.lease,
            max_message_bytes=config.max_message_bytes,
        )

    # -- calls of workers --------------------------------------------------------------------

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

    def exited(self, worker: WorkerHandle, reason: str) -> None:
        """A worker has ended."""
        seen = self._workers.pop(worker.name, None)
        if seen is None:
            return
        self._logs[worker.name] = worker.log
        if len(self._logs) > _LOGS:
            del self._logs[next(iter(self._logs))]
        seen.report.state, seen.report.reason = WorkerReport.GONE, reason
        self._post(FromAgent(worker=self._report(seen)))
        self._carry_out(self._slots.exited(worker.name, reason, self._loop.time()))

"""The life of a worker as a machine that clients and others see as a remote machine.

Of a plain worker the states follow its jobs. A worker that is a machine moves itself, and the
client that has it may mutate it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from grid.errors import GridError
from machine.core.machine import Machine
from machine.core.transition import Event
from machine.errors import MachineError
from node.events import tell_error
from node.worker.definition import WorkerDefinition
from node.worker.states import WorkerStates
from rpc.machines.access import Access, Visitor
from rpc.machines.payloads import Payload
from rpc.machines.server import Host, Server

__all__ = ["WorkerLife"]

_log = logging.getLogger("node.worker")


class WorkerLife:
    """The machine of one worker, served under the worker's name.

    Args:
        definition: of its kind.
        host: where its mailbox is opened.
        name: of the worker.

    Attributes:
        machine: the machine.
    """

    def __init__(self, definition: WorkerDefinition, host: Host, name: str) -> None:
        self._is_machine = definition.is_machine
        made: Any = definition.function if self._is_machine else partial(Machine, WorkerStates)
        self.machine: Machine[Any] = made(id=name)
        self._client = ""
        self._supervised = False
        self._mirrors: set[str] = set()  # of the client
        self._sending: set[asyncio.Task[None]] = set()
        self._server = Server(self.machine, host, name=name, access=self._access)

    async def start(self) -> None:
        """Serve the machine.

        Raises:
            AlreadyRegistered, LeaseLost, EtcdUnavailable: as of `open_mailbox`.
        """
        if self._is_machine:
            self.machine.bind({"ClientSendPayloadState": self._send_payload}, id="payloads")
        self.machine.add("Start")
        await self._server.start()
        self.machine.add("RpcReady")
        self._follow_supervisor()

    async def stop(self) -> None:
        """End the machine and what it does."""
        for task in [*self._sending]:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self.machine.dispose()
        await self.machine.join()
        await self._server.stop()

    def supervised(self, connected: bool) -> None:
        """Note whether there is a supervisor, as the worker's agent sees it."""
        self._supervised = connected
        self._follow_supervisor()

    def _follow_supervisor(self) -> None:
        machine = self.machine
        if self._supervised:
            machine.add("SuperConnected")  # refused before the start, which comes back here
        elif machine.is_("SuperConnected"):
            machine.remove("SuperConnected")
            lost = ConnectionError("the supervisor of the pools is lost")
            tell_error(machine, "ErrSupervisor", lost)

    def serve(self, client: str) -> bool:
        """Make the worker a client's own; False if its machine refuses the client."""
        if self.machine.add("ServeClient", args={"client": client}).canceled:
            return False
        self._client = client
        self.machine.add("ClientConnected")
        return True

    def client_left(self) -> None:
        """The client has closed its stream; a job of it may still run."""
        self._client = ""
        self._mirrors.clear()
        self.machine.remove("ClientConnected")

    def free(self) -> None:
        """The worker is no client's own any more."""
        self.machine.remove("ServeClient")

    def begin(self) -> None:
        """Jobs have come; a worker that is a machine moves itself."""
        if not self._is_machine:
            self.machine.add("WorkRequested")
            self.machine.add("Working")

    def failed(self, error: Exception) -> None:
        """A job failed; a worker that is a machine says so itself."""
        if not self._is_machine:
            tell_error(self.machine, "ErrWork", error)

    def overran(self, limit: float) -> None:
        """A job takes longer than it may."""
        self.machine.add_err_state("ErrWorkTimeout", TimeoutError(f"a job took over {limit:g} s"))

    def end(self) -> None:
        """All jobs are done."""
        if self.machine.is_("ErrWorkTimeout"):  # the job was faster than the worker's end
            self.machine.remove("ErrWorkTimeout", "Exception")
        if not self._is_machine:
            self.machine.add("WorkReady")
            self.machine.remove("WorkReady")

    def _access(self, visitor: Visitor) -> Access:
        if self._client and visitor.token == self._client:
            self._mirrors.add(visitor.mirror)
            if self._is_machine:
                return Access.all()
        return Access.read_only()

    def _send_payload(self, event: Event) -> None:
        sending = self._sent(str(event.args.get("name")), event.args.get("data", b""))
        task = asyncio.create_task(sending, name=f"payload of {self.machine.id}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _sent(self, name: str, data: Any) -> None:
        try:
            for mirror in sorted(self._mirrors):
                await self._server.send_payload(Payload(name, data), mirror=mirror)
        except (GridError, MachineError, TypeError) as error:
            _log.warning("payload %r of %s did not arrive: %s", name, self.machine.id, error)
            self.machine.add_err_state("ErrClient", error)

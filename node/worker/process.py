"""The process of a worker: a peer of its own that serves jobs, tied to its agent.

The agent writes lines of JSON to standard input, first the `Assignment`, and reads lines of
JSON from standard output: `ready`, `client`, and signs of life. What the worker's code
prints goes to standard error. The process ends when standard input does, which the kernel
sees to however the agent ended; on Linux the kernel also kills it with the agent's process.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grid.aio import run
from grid.etcd import EtcdConfig
from grid.server.server import Server
from node.names import process_peer
from node.worker.definition import Origin, WorkerDefinition, load
from node.worker.memory import resident_bytes
from node.worker.serving import JobServer

__all__ = ["Assignment", "main"]

_PR_SET_PDEATHSIG = 1
_SWITCH = 0.001  # seconds for which a busy job keeps the event loop from its turn
_ORPHANED = 3  # exit code


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything that a worker's process needs to know.

    Attributes:
        worker: its name.
        kind: of the worker.
        module, path: where the kind is defined; see `Origin`.
        parent: the process of its agent.
        beat: seconds between two signs of life.
        arguments: of the agent's program, which its code may read when it is imported.
        namespace, etcd, listen, advertise, lease, max_message_bytes: as of `grid.Server`.
    """

    worker: str
    kind: str
    module: str
    path: str
    parent: int
    beat: float
    arguments: list[str]
    namespace: str
    etcd: dict[str, Any]
    listen: str
    advertise: str | None
    lease: float
    max_message_bytes: int

    def encode(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self), default=str).encode() + b"\n"


def main() -> None:
    """Run a worker as its assignment says, until it is told to end or its agent is gone."""
    output = _own_output()
    assignment = Assignment(**json.loads(_first_line()))
    _die_with(assignment.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the peer, which ends its workers
    sys.argv[:] = assignment.arguments
    sys.setswitchinterval(_SWITCH)
    definition = load(assignment.kind, Origin(assignment.module, assignment.path))
    run(_serve(assignment, definition, output))
    # A job that does not return must not keep the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _own_output() -> int:
    """Keep standard output for the agent; what is printed goes to standard error."""
    output = os.dup(1)
    os.dup2(2, 1)
    return output


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):  # not a byte more: the rest are orders
        one = os.read(0, 1)
        if not one:
            os._exit(_ORPHANED)
        line += one
    return line


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_ORPHANED)  # it died before


async def _serve(assignment: Assignment, definition: WorkerDefinition, output: int) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    threading.Thread(
        target=_read_orders,
        args=(lambda: loop.call_soon_threadsafe(stopping.set),),
        name="orders",
        daemon=True,
    ).start()

    def tell(**what: object) -> None:
        os.write(output, json.dumps(what).encode() + b"\n")

    server = Server(
        assignment.namespace,
        etcd=_etcd(assignment.etcd),
        listen=assignment.listen,
        advertise=assignment.advertise,
        name=process_peer(assignment.worker),
        annotations=("worker", f"kind={assignment.kind}"),
        lease=assignment.lease,
        allow_leadership=False,
        max_message_bytes=assignment.max_message_bytes,
    )
    async with server:
        jobs = JobServer(
            definition,
            server,
            assignment.worker,
            lambda client: tell(client=client),
            assignment.max_message_bytes,
        )
        await jobs.start()
        tell(ready=True)
        beating = asyncio.create_task(_beat(jobs, assignment.beat, tell), name="beat")
        losing = asyncio.create_task(jobs.lost(), name="lease")
        stopped = asyncio.create_task(stopping.wait(), name="stop")
        await asyncio.wait([losing, stopped], return_when=asyncio.FIRST_COMPLETED)
        losing.cancel()
        if losing.done():
            losing.result()
        await jobs.finish()
        beating.cancel()
        await jobs.stop()


async def _beat(jobs: JobServer, pause: float, tell: Callable[..., None]) -> None:
    while True:
        tell(
            busy=round(jobs.busy, 3),
            memory=resident_bytes(),
            jobs=jobs.jobs,
            errors=jobs.errors,
        )
        await asyncio.sleep(pause)


def _read_orders(stop: Callable[[], object]) -> None:
    # The one order is to stop. At the end of the input there is no agent any more, whatever
    # the event loop and the job are doing.
    if os.read(0, 4096):
        stop()
        os.read(0, 4096)
    os._exit(_ORPHANED)


def _etcd(fields: dict[str, Any]) -> EtcdConfig:
    files = {name: Path(fields[name]) for name in ("ca", "cert", "key") if fields.get(name)}
    return EtcdConfig(**{**fields, "endpoints": tuple(fields["endpoints"]), **files})

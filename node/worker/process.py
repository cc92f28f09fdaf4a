"""The process of a worker: a peer of its own that serves jobs, tied to its agent.

The agent writes lines to what is standard input at first: the `Assignment` as JSON; `BEGIN` when
the worker shall join the grid, until when it is a spare process with its code imported; whether
there is a supervisor; and the order to stop. It reads lines of JSON from what is standard output
at first: `ready`, `client`, `stuck`, and signs of life. What the worker's code prints goes to
standard error, and what it reads from standard input is at its end. The process ends when the
agent's orders do, which the kernel sees to however the agent ended; on Linux the kernel also kills
it with the agent's process. It leads a session of its own, so that what its jobs have started ends
with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grid.aio import run
from grid.etcd import EtcdConfig
from grid.server.server import Server
from grid.tls import TLS
from node.names import POOL_WORKER, agent_peer, process_peer
from node.worker.definition import Origin, WorkerDefinition, load
from node.worker.memory import resident_bytes
from node.worker.serving import JobServer

__all__ = ["ALONE", "BEGIN", "STOP", "SUPERVISED", "Assignment", "main"]

BEGIN = b"begin\n"
"""Line that makes a worker of a spare process."""
SUPERVISED, ALONE = b"supervised\n", b"alone\n"
"""Lines that say whether the agent is connected with the supervisor."""
STOP = b"stop\n"
"""Line that lets a worker finish its job and end."""

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
        peer: of its agent.
        beat: seconds between two signs of life.
        job_timeout: seconds that a job may take; 0: any number.
        grace: seconds that a job may go on whose client has left or cancelled it.
        arguments: of the agent's program, which its code may read when it is imported.
        namespace, etcd, listen, advertise, lease, max_message_bytes, unix_socket, tls: as of
            `grid.Server`.
    """

    worker: str
    kind: str
    module: str
    path: str
    parent: int
    peer: str
    beat: float
    job_timeout: float
    grace: float
    arguments: list[str]
    namespace: str
    etcd: dict[str, Any] = field(repr=False)  # it may have a password
    listen: str
    advertise: str | None
    lease: float
    max_message_bytes: int
    unix_socket: bool | None
    tls: dict[str, Any] | None = field(repr=False)  # and this a token

    def encode(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self), default=str).encode() + b"\n"


def main() -> None:
    """Run a worker as its assignment says, until it is told to end or its agent is gone."""
    code = 1
    try:
        _run()
        code = 0
    except BaseException:  # noqa: BLE001 - these are its last words
        traceback.print_exc()
    finally:
        # Neither a job that does not return nor a thread of one may keep the process.
        with contextlib.suppress(Exception):  # closed, by a job
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run() -> None:
    orders, output = _own_ends()
    with contextlib.suppress(OSError):  # it leads one already
        os.setsid()
    assignment = Assignment(**json.loads(_next_line(orders)))
    _die_with(assignment.parent)
    # Ctrl-C is for the peer, which ends its workers. What a job starts must not inherit that, so
    # this is a function: of an ignored signal it would.
    signal.signal(signal.SIGINT, _ignore)
    os.register_at_fork(after_in_child=_own_signals)
    sys.argv[:] = assignment.arguments
    sys.setswitchinterval(_SWITCH)
    definition = load(assignment.kind, Origin(assignment.module, assignment.path))
    _next_line(orders)  # BEGIN
    run(_serve(assignment, definition, orders, output))


def _ignore(number: int, frame: object) -> None:
    """Nothing."""


def _own_signals() -> None:
    """Make signals those of this process, which a job has forked.

    It has the handlers of its worker, and writes into the worker's pipe of signals: a SIGTERM would
    not end it, but its worker.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _own_ends() -> tuple[int, int]:
    """Keep standard input and output for the agent.

    Who reads finds the end of the input, and what is printed goes to standard error.
    """
    orders, output = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # What is printed is in the log at once, and before a kill.
    for one in (sys.stdout, sys.stderr):
        if isinstance(one, io.TextIOWrapper):
            one.reconfigure(line_buffering=True)
    return orders, output


def _next_line(orders: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):  # not a byte more: the rest are orders
        one = os.read(orders, 1)
        if not one:
            os._exit(_ORPHANED)
        line += one
    return line


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_ORPHANED)  # it died before


async def _serve(
    assignment: Assignment, definition: WorkerDefinition, orders: int, output: int
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)

    def tell(**what: object) -> None:
        os.write(output, json.dumps(what).encode() + b"\n")

    server = Server(
        assignment.namespace,
        etcd=_etcd(assignment.etcd),
        listen=assignment.listen,
        advertise=assignment.advertise,
        name=process_peer(assignment.worker),
        annotations=(POOL_WORKER, f"kind={assignment.kind}", agent_peer(assignment.peer)),
        lease=assignment.lease,
        allow_leadership=False,
        max_message_bytes=assignment.max_message_bytes,
        unix_socket=assignment.unix_socket,
        tls=None if assignment.tls is None else TLS(**assignment.tls),
    )
    jobs = JobServer(
        definition,
        server,
        assignment.worker,
        lambda client: tell(client=client),
        limit=assignment.max_message_bytes,
        job_timeout=assignment.job_timeout,
        grace=assignment.grace,
        on_stuck=lambda reason: tell(stuck=reason),
    )

    def obey(order: bytes) -> None:
        if order == STOP:
            stopping.set()
        else:
            jobs.supervised(order == SUPERVISED)

    reading = (orders, lambda order: loop.call_soon_threadsafe(obey, order))
    threading.Thread(target=_read_orders, args=reading, name="orders", daemon=True).start()
    async with server:
        await jobs.start()
        tell(ready=True)
        beating = asyncio.create_task(_beat(jobs, assignment.beat, tell), name="beat")
        losing = asyncio.create_task(jobs.lost(), name="lease")
        stopped = asyncio.create_task(stopping.wait(), name="stop")
        done, _ = await asyncio.wait(
            [losing, stopped, beating], return_when=asyncio.FIRST_COMPLETED
        )
        losing.cancel()
        for one in done:
            one.result()
        await jobs.finish()
        beating.cancel()
        await jobs.stop()


async def _beat(jobs: JobServer, pause: float, tell: Callable[..., None]) -> None:
    while True:
        jobs.check()
        tell(
            busy=round(jobs.busy, 3),
            memory=resident_bytes(),
            jobs=jobs.jobs,
            errors=jobs.errors,
        )
        await asyncio.sleep(pause)


def _read_orders(orders: int, obey: Callable[[bytes], object]) -> None:
    # At the end of the input there is no agent any more, whatever the event loop and the job
    # are doing.
    while True:
        order = _next_line(orders)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
            obey(order)


def _etcd(fields: dict[str, Any]) -> EtcdConfig:
    files = {name: Path(fields[name]) for name in ("ca", "cert", "key") if fields.get(name)}
    return EtcdConfig(**{**fields, "endpoints": tuple(fields["endpoints"]), **files})

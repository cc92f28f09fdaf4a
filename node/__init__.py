"""Pools of workers: supervised over all peers of a grid, each worker in a process of its own.

@node.worker(peer, "square", min=2)             # where the workers run
def square(number: int) -> int:
    return number * number

async with node.Client(client, "square") as squares:   # anywhere else
    print(await squares.run(3))
    async for result in squares.map(range(1000)):
        ...
"""

from __future__ import annotations

from node.client.client import Client
from node.client.executor import Executor
from node.client.mapped import Mapped
from node.client.mapping import MapRun
from node.client.states import ClientStates
from node.client.worker import WorkerRef
from node.errors import (
    ClientLimit,
    JobFailed,
    NoClient,
    NoPlace,
    NoWorker,
    PoolError,
    PoolFailed,
    UnknownKind,
    WorkerLost,
)
from node.offering import worker
from node.settings import PoolSettings
from node.supervisor.states import PoolStates
from node.supervisor.supervisor import supervise
from node.worker.machine import WorkerMachine
from node.worker.running_job import RunningJob, job
from node.worker.states import WorkerStates
from rpc.machines.errors import NotPlainData

__all__ = [
    "Client",
    "ClientLimit",
    "ClientStates",
    "Executor",
    "JobFailed",
    "MapRun",
    "Mapped",
    "NoClient",
    "NoPlace",
    "NoWorker",
    "NotPlainData",
    "PoolError",
    "PoolFailed",
    "PoolSettings",
    "PoolStates",
    "RunningJob",
    "UnknownKind",
    "WorkerLost",
    "WorkerMachine",
    "WorkerRef",
    "WorkerStates",
    "job",
    "supervise",
    "worker",
]

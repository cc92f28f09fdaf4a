"""The states of a pool as its supervisor sees it.

The names and relations are those of asyncmachine-go's node package
(https://github.com/pancsta/asyncmachine-go); the manual says which ones differ.
"""

from __future__ import annotations

from machine.ready_made import Basic
from machine.schema.state import EXCEPTION
from machine.schema.states import StateName, group, state

__all__ = ["PoolStates"]

_STATUS = ["PoolStarting", "PoolReady"]
_NORMAL = ["NormalizingPool", "PoolNormalized"]


class PoolStates(Basic):
    """The states of a pool.

    Those with several activations (`multi`) are events: they are active for a moment, and their
    ticks count.
    """

    Start: StateName[None] = state(add="PoolStarting")
    ErrWorker: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """A worker has ended by a failure; argument `error`."""
    ErrPool: StateName[None] = state(add=EXCEPTION, require=EXCEPTION, remove="PoolNormalized")
    """Workers fail at their start everywhere, or no peer has room for them."""

    AgentConnected: StateName[None] = state(multi=True, require=Start)
    """A peer runs workers from now on; argument `peer`."""
    AgentDisconnected: StateName[None] = state(multi=True, require=Start)
    ClientConnected: StateName[None] = state(multi=True, require=Start)
    """A client asks for workers from now on; argument `client`."""
    ClientDisconnected: StateName[None] = state(multi=True, require=Start)

    ForkingWorker: StateName[None] = state(multi=True, require=Start)
    """A worker is started; arguments `worker` and `peer`."""
    WorkerForked: StateName[None] = state(multi=True, require=Start)
    """Its process is there; arguments `worker`, `peer` and `pid`."""
    WorkerReady: StateName[None] = state(multi=True, require=Start)
    """A worker can serve; arguments `worker` and `peer`. The pool may be ready with it."""
    WorkerGone: StateName[None] = state(multi=True, require=Start)
    """A worker has ended; arguments `worker` and `reason`. The pool may not be ready without it."""
    WorkerIssues: StateName[None] = state(multi=True, require=Start)
    """A worker has failed jobs; arguments `worker` and `errors`."""

    ProvideWorker: StateName[None] = state(multi=True, require=Start)
    """A client gets a worker; arguments `worker` and `client`."""

    KillWorker: StateName[None] = state(multi=True, require=Start)
    """An order: end the worker `worker` at once. Refused if there is none, or its agent is away."""
    KillingWorker: StateName[None] = state(require=Start)
    """Workers are being ended by order."""
    WorkerKilled: StateName[None] = state(multi=True, require=Start)
    """A worker has ended by order; argument `worker`."""

    PoolStarting: StateName[None] = state(require=Start, remove=_STATUS, add="NormalizingPool")
    """There were never enough workers."""
    PoolReady: StateName[None] = state(require=Start, remove=_STATUS)
    """There are as many workers as the pool has at least."""
    Ready: StateName[None] = state(auto=True, require=[Start, PoolReady])

    NormalizingPool: StateName[None] = state(require=Start, remove=_NORMAL, after=ErrWorker)
    """There are more or fewer workers than are wanted."""
    PoolNormalized: StateName[None] = state(require=Start, remove=_NORMAL)
    WorkersAvailable: StateName[None] = state(require=PoolReady)
    """A worker is free."""

    PoolStatus: tuple[str, ...] = group(PoolStarting, PoolReady)
    PoolSize: tuple[str, ...] = group(NormalizingPool, PoolNormalized)
    Errors: tuple[str, ...] = group(ErrWorker, ErrPool)

"""The states of workers.

The names and relations are those of asyncmachine-go's node package
(https://github.com/pancsta/asyncmachine-go); the manual says which ones differ.
"""

from __future__ import annotations

from machine.ready_made import Basic
from machine.schema.state import EXCEPTION
from machine.schema.states import StateName, group, state

__all__ = ["WorkerStates"]

_WORK = ["WorkRequested", "Working", "WorkReady", "Idle"]


class WorkerStates(Basic):
    """The states of a worker, to inherit from.

    Of `WorkStatus` one state is active at a time while the worker is ready: a job is requested,
    it runs, its result is there, and the worker is idle again.
    """

    ErrWork: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """A job failed."""
    ErrWorkTimeout: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """A job takes more than `job_timeout`; the worker is about to be ended."""
    ErrClient: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """Something could not be sent to the client."""
    ErrSupervisor: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """The supervisor is lost; active for a moment. The worker goes on."""

    RpcReady: StateName[None] = state(require=Basic.Start)
    """Clients find the worker."""
    Ready: StateName[None] = state(auto=True, require=RpcReady)
    SuperConnected: StateName[None] = state(require=Basic.Start)
    """The worker's agent is connected with the supervisor of the pools."""
    ServeClient: StateName[None] = state(require=RpcReady)
    """The worker is one client's own, argument `client`, until its last job there has ended.

    A handler `ServeClientEnter` may refuse the client, which then gets another worker.
    """
    ClientConnected: StateName[None] = state(require=ServeClient)
    """The client is there: it has a stream to the worker."""
    ClientSendPayload: StateName[None] = state(multi=True, require=ClientConnected)
    """Data are sent to the client; arguments `name` and `data`."""

    WorkRequested: StateName[None] = state(require=Ready, remove=_WORK)
    Working: StateName[None] = state(require=Ready, remove=_WORK)
    WorkReady: StateName[None] = state(require=Ready, remove=_WORK)
    Idle: StateName[None] = state(auto=True, require=Ready, remove=_WORK)

    WorkStatus: tuple[str, ...] = group(WorkRequested, Working, WorkReady, Idle)

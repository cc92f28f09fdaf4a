"""The states of workers."""

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
    ErrClient: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """Something could not be sent to the client."""

    RpcReady: StateName[None] = state(require=Basic.Start)
    """Clients find the worker."""
    Ready: StateName[None] = state(auto=True, require=RpcReady)
    ClientConnected: StateName[None] = state(require=RpcReady)
    """A client has the worker for itself."""
    ClientSendPayload: StateName[None] = state(multi=True, require=ClientConnected)
    """Data are sent to the client; arguments `name` and `data`."""

    WorkRequested: StateName[None] = state(require=Ready, remove=_WORK)
    Working: StateName[None] = state(require=Ready, remove=_WORK)
    WorkReady: StateName[None] = state(require=Ready, remove=_WORK)
    Idle: StateName[None] = state(auto=True, require=Ready, remove=_WORK)

    WorkStatus: tuple[str, ...] = group(WorkRequested, Working, WorkReady, Idle)

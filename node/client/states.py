"""The states of a client of a pool.

The names and relations are those of asyncmachine-go's node package
(https://github.com/pancsta/asyncmachine-go); the manual says which ones differ.
"""

from __future__ import annotations

from machine.ready_made import Basic
from machine.schema.state import EXCEPTION
from machine.schema.states import StateName, group, state

__all__ = ["ClientStates"]

_SUPER = ["SuperDisconnected", "SuperConnecting", "SuperConnected"]


class ClientStates(Basic):
    """The states of a client, which may have several claims and workers at a time."""

    ErrWorker: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """A worker of this client is lost; active for a moment."""
    ErrSupervisor: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """The supervisor is lost, or was not found at a try; active for a moment."""

    SuperDisconnected: StateName[None] = state(auto=True, require=Basic.Start, remove=_SUPER)
    SuperConnecting: StateName[None] = state(require=Basic.Start, remove=_SUPER)
    """The supervisor is looked for, as long as there is a claim."""
    SuperConnected: StateName[None] = state(require=Basic.Start, remove=_SUPER)
    """The supervisor knows of all claims."""

    WorkerRequested: StateName[None] = state(require=Basic.Start)
    """A claim waits for its first worker."""
    WorkerReady: StateName[None] = state(require=Basic.Start)
    """The client has one worker at least."""
    Ready: StateName[None] = state(auto=True, require=WorkerReady)

    Supervisor: tuple[str, ...] = group(SuperDisconnected, SuperConnecting, SuperConnected)

"""States that many machines need, to inherit from.

    class Client(Connected, Disposed):
        Working = state(auto=True, require=Connected.Connected)

`Basic` has a start, readiness and the errors of the machine itself; `Connected` one connection,
`ConnPool` several; `Disposed` an orderly end.
"""

from __future__ import annotations

from typing import ClassVar

from machine.schema.state import EXCEPTION
from machine.schema.states import StateName, States, group, state

__all__ = ["Basic", "ConnPool", "Connected", "Disposed"]


class Basic(States):
    """The states of nearly every machine. Errors begin with Exception and end with it."""

    Exception: ClassVar[StateName[None]] = state(multi=True)
    ErrNetwork: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    ErrHandlerTimeout: StateName[None] = state(multi=True, add=EXCEPTION, require=EXCEPTION)

    Start: StateName[None] = state()
    """Asked to work."""
    Ready: StateName[None] = state(require=Start)
    """Able to work."""
    Healthcheck: StateName[None] = state(multi=True)
    Heartbeat: StateName[None] = state()


class Connected(Basic):
    """One connection: always in exactly one of four states."""

    ErrConnecting: StateName[None] = state(require=EXCEPTION)

    Connecting: StateName[None] = state(
        require=Basic.Start, remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )
    Connected: StateName[None] = state(
        require=Basic.Start, remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )
    Disconnecting: StateName[None] = state(
        remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )
    Disconnected: StateName[None] = state(
        auto=True, remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )

    Connection: tuple[str, ...] = group(Connecting, Connected, Disconnecting, Disconnected)


class ConnPool(Basic):
    """Several connections: some may be up while others are being made."""

    ErrConnecting: StateName[None] = state(require=EXCEPTION)

    Connecting: StateName[None] = state(require=Basic.Start, remove="Disconnecting")
    Connected: StateName[None] = state(require=Basic.Start, remove="Disconnected")
    """At least one connection is up."""
    ConnectedFully: StateName[None] = state(require=Connected, remove="Disconnected")
    """All of them are."""
    Disconnecting: StateName[None] = state(remove=[ConnectedFully, Connected, Connecting])
    Disconnected: StateName[None] = state(remove=[Connecting, ConnectedFully, Disconnecting])

    Connection: tuple[str, ...] = group(
        Connecting, Connected, ConnectedFully, Disconnecting, Disconnected
    )


class Disposed(Basic):
    """An orderly end: registered objects are disposed first, then the machine."""

    RegisterDisposal: StateName[None] = state(multi=True)
    Disposing: StateName[None] = state(remove=[Basic.Start, EXCEPTION])
    Disposed: StateName[None] = state(remove=[Basic.Start, EXCEPTION, Disposing])

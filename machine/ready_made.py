"""States that many machines need, to inherit from.

    class Client(Connected, Disposed):
        Working = state(auto=True, require=Connected.Connected)

`Basic` has a start, readiness and the errors of the machine itself; `Connected` one connection,
`ConnPool` several; `Disposed` an orderly end.
"""

from __future__ import annotations

from machine.schema.state import EXCEPTION
from machine.schema.states import States, group, state

__all__ = ["Basic", "ConnPool", "Connected", "Disposed"]


class Basic(States):
    """The states of nearly every machine. Errors begin with Exception and end with it."""

    Exception = state(multi=True)
    ErrNetwork = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    ErrHandlerTimeout = state(multi=True, add=EXCEPTION, require=EXCEPTION)

    Start = state()
    """Asked to work."""
    Ready = state(require=Start)
    """Able to work."""
    Healthcheck = state(multi=True)
    Heartbeat = state()


class Connected(Basic):
    """One connection: always in exactly one of four states."""

    ErrConnecting = state(require=EXCEPTION)

    Connecting = state(
        require=Basic.Start, remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )
    Connected = state(
        require=Basic.Start, remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )
    Disconnecting = state(remove=["Connecting", "Connected", "Disconnecting", "Disconnected"])
    Disconnected = state(
        auto=True, remove=["Connecting", "Connected", "Disconnecting", "Disconnected"]
    )

    Connection = group(Connecting, Connected, Disconnecting, Disconnected)


class ConnPool(Basic):
    """Several connections: some may be up while others are being made."""

    ErrConnecting = state(require=EXCEPTION)

    Connecting = state(require=Basic.Start, remove="Disconnecting")
    Connected = state(require=Basic.Start, remove="Disconnected")
    """At least one connection is up."""
    ConnectedFully = state(require=Connected, remove="Disconnected")
    """All of them are."""
    Disconnecting = state(remove=[ConnectedFully, Connected, Connecting])
    Disconnected = state(remove=[Connecting, ConnectedFully, Disconnecting])

    Connection = group(Connecting, Connected, ConnectedFully, Disconnecting, Disconnected)


class Disposed(Basic):
    """An orderly end: registered objects are disposed first, then the machine."""

    RegisterDisposal = state(multi=True)
    Disposing = state(remove=[Basic.Start, EXCEPTION])
    Disposed = state(remove=[Basic.Start, EXCEPTION, Disposing])

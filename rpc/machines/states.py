"""The states of a server and of a client of remote machines: their own life as machines.

The names and relations are those of asyncmachine-go's rpc package
(https://github.com/pancsta/asyncmachine-go), of its v0.8 with later additions.
"""

from __future__ import annotations

from machine.ready_made import Basic
from machine.schema.state import EXCEPTION
from machine.schema.states import group, state

__all__ = ["ClientStates", "ServerStates", "Shared"]

_CONNECTION = ["Connecting", "Connected", "Disconnecting", "Disconnected"]
_HANDSHAKE = ["Handshaking", "HandshakeDone"]


class Shared(Basic):
    """Both ends: the errors of a connection and its handshake."""

    ErrNetworkTimeout = state(add=EXCEPTION, require=EXCEPTION)
    ErrRpc = state(add=EXCEPTION, require=EXCEPTION)
    """The other side broke the protocol."""
    ErrDelivery = state(add=EXCEPTION, require=EXCEPTION)
    """A payload was not delivered."""


class ClientStates(Shared):
    """One client: at most one connection, which comes back by itself."""

    ErrNetwork = state(multi=True, add=EXCEPTION, require=EXCEPTION, remove="Connecting")
    Start = state(add="Connecting", remove="ConnRetryFailed")
    Ready = state(auto=True, require="HandshakeDone")
    """The mirror is up to date, and calls are carried out."""

    Connecting = state(require=Start, remove=_CONNECTION)
    Connected = state(require=Start, remove=[*_CONNECTION, "RetryingConn"], add="Handshaking")
    Disconnecting = state(remove=_CONNECTION)
    Disconnected = state(auto=True, remove=_CONNECTION)

    Handshaking = state(require=[Start, Connected], remove=_HANDSHAKE)
    HandshakeDone = state(require=[Start, Connected], remove=_HANDSHAKE)

    RetryingConn = state(require=Start)
    """The connection broke, and is being made again."""
    RetryingCall = state(require=Start)
    """Calls wait for the next connection."""
    CallRetryFailed = state(remove=RetryingCall, add=["ErrNetwork", EXCEPTION])
    ConnRetryFailed = state(remove=Start)
    """It was given up; the client has ended."""

    ServerDelivering = state(multi=True, require=Connected)
    """A payload has begun to come."""
    ServerPayload = state(multi=True, require=Connected)
    """A payload has come; its handlers get it as `payload`."""

    Connection = group(Connecting, Connected, Disconnecting, Disconnected)
    Handshake = group(Handshaking, HandshakeDone)


class ServerStates(Shared):
    """One machine that is served to any number of clients."""

    ErrOnClient = state(multi=True, add=EXCEPTION, require=EXCEPTION)
    """One client was refused or ended for what it sent; the others go on."""
    Start = state(add="RpcStarting")
    Ready = state(auto=True, require="RpcReady")
    RpcStarting = state(require=Start, remove=["RpcStarting", "RpcReady"])
    RpcReady = state(require=Start, remove=["RpcStarting", "RpcReady"])
    """Clients can connect."""
    ClientConnected = state(multi=True, require=RpcReady)
    ClientDisconnected = state(multi=True, require=Start)
    HasClients = state(require=Start)

    Rpc = group(RpcStarting, RpcReady)

"""Targets of a dial: the ways to one address, the best first, and how each is gone.

A target is what gRPC calls one, such as `10.0.0.1:7777`; such a one behind `tls:`; or `unix:`
and the path of a socket. A side with TLS leaves it out on a socket only, and there only towards
a process of its own user, as the kernel says: that one could read its files and its memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from grid.errors import PeerUnreachable, SecurityError
from grid.transport._credentials import DialCredentials
from grid.transport._grpc_dial import connect as connect_grpc
from grid.transport._handshakes import diagnose
from grid.transport._socket_wire import connect as connect_socket
from grid.transport.wire import Wire

__all__ = ["Targets", "cause", "connect", "targets"]

Targets = tuple[str, ...]

_UNIX, _TLS = "unix:", "tls:"


def targets(address: str, unix_socket: str, *, tls: bool) -> Targets:
    """The targets to dial for an address.

    Args:
        address: the address that the peer advertises.
        unix_socket: the path of its socket, if it is on this host; else empty.
        tls: True if the peer speaks TLS.
    """
    over_tcp = f"{_TLS}{address}" if tls else address
    return (f"{_UNIX}{unix_socket}", over_tcp) if unix_socket else (over_tcp,)


async def connect(
    target: str, address: str, credentials: DialCredentials | None
) -> tuple[Wire, Callable[[], Awaitable[None]]]:
    """A wire to a target, and what closes its connection.

    Args:
        target: where.
        address: of the peer, for errors.
        credentials: those of TLS, if this side has it.

    Raises:
        PeerUnreachable: there is no connection.
    """
    if target.startswith(_TLS):
        return connect_grpc(target.removeprefix(_TLS), credentials)
    if not target.startswith(_UNIX):
        return connect_grpc(target)
    try:
        path, secure = target.removeprefix(_UNIX), credentials is not None
        wire = await connect_socket(path, own_user=secure)
    except OSError as error:
        raise PeerUnreachable(address, str(error)) from None
    return wire, wire.close


async def cause(
    target: str, address: str, credentials: DialCredentials | None
) -> SecurityError | None:
    """The reason why both sides of a failed dial do not trust each other; None if they do."""
    if credentials is None or not target.startswith(_TLS):
        return None
    return await diagnose(address, credentials.tls)

"""The entry point for `ctx.expose(machine)`."""

from __future__ import annotations

from typing import Any

from grid.aio import Opening
from machine.core.machine import Machine
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.server import Host, Server

__all__ = ["expose"]


def expose(host: Host, subject: object, **options: Any) -> Opening[Server] | None:
    """Serve a machine under a name of the grid; None if the object is none.

    Args:
        host: the context of an actor.
        subject: the machine.
        options: of `rpc.Server`.
    """
    if not isinstance(subject, Machine | RemoteMachine):
        return None
    server = Server(subject, host, **options)

    async def started() -> Server:
        await server.start()
        return server

    return Opening(started)

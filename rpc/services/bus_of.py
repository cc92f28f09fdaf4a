"""The bus that a service is given, made of a client or a server of the grid where needed."""

from __future__ import annotations

from typing import TypeAlias, cast

from grid.actor import ActorContext
from grid.client.client import Client
from grid.errors import InvalidArgument
from grid.server.server import Server
from rpc.buses.bus import Bus
from rpc.buses.grid import GridBus

__all__ = ["BusLike", "bus_of", "owns_bus"]

BusLike: TypeAlias = Bus | Client | Server | ActorContext


def bus_of(given: BusLike) -> Bus:
    """The bus itself, or a bus of the grid of a client, server or actor.

    Raises:
        InvalidArgument: it is none of these.
    """
    if owns_bus(given):
        return GridBus(cast("Client | Server | ActorContext", given))
    if isinstance(given, Bus):
        return given
    raise InvalidArgument("bus", given, "a Bus, grid.Client, grid.Server or ActorContext")


def owns_bus(given: BusLike) -> bool:
    """True if a bus was made for the service, which closes it."""
    return isinstance(given, Client | Server | ActorContext)

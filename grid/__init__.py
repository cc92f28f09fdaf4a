"""Actors and mailboxes with unique names, across processes.

    server = grid.Server("shop")             # a peer
    async with grid.Client("shop") as client:
        reply = await client.request("orders", Order(id=7), reply=Receipt)

Names are imported when first used: `import grid` alone loads nothing, so the
command starts fast and can set up gRPC before it is loaded.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Read by gRPC when it is first used. Its handlers of forks do not know gRPC's asyncio API:
# with them one in four children that an actor forks crashes.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

if TYPE_CHECKING:
    from grid import errors, state, sync
    from grid.actor import Actor, ActorContext, StopSignal
    from grid.client.broadcast import BroadcastResult, Group, Outcome
    from grid.client.client import Client
    from grid.client.placement import PeerLoad
    from grid.client.reports import ActorReport, ActorState
    from grid.client.retry import Retry
    from grid.client.subscription import Subscription
    from grid.codec import Codec, register
    from grid.errors import GridError
    from grid.etcd import EtcdConfig
    from grid.handlers import handler
    from grid.interceptors import Filter, IncomingCall, Interceptor, OutgoingCall, Proceed
    from grid.mailbox.mailbox import Mailbox
    from grid.mailbox.request import Request
    from grid.mailbox.statistics import MailboxStatistics
    from grid.registry.entities import Entity, EntityEvent, EntityFound, EntityLost, EntityWatch
    from grid.registry.names import Kind
    from grid.registry.reminders import Reminder
    from grid.registry.ring import Ring
    from grid.server.config import ServerConfig
    from grid.server.restarts import Restart
    from grid.server.server import Server
    from grid.server.statistics import ServerStatistics
    from grid.stream import Stream
    from grid.timers import Timer
    from grid.tls import TLS
    from grid.transport.breaker import BreakerPolicy, BreakerState
    from grid.transport.statistics import (
        BreakerStatistics,
        ClientStatistics,
        PoolStatistics,
        SessionStatistics,
    )
    from grid.wire_pb2 import Ack, ActorStart, ActorStop, Delivery, EchoMsg

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "Ack",
    "Actor",
    "ActorContext",
    "ActorReport",
    "ActorStart",
    "ActorState",
    "ActorStop",
    "BreakerPolicy",
    "BreakerState",
    "BreakerStatistics",
    "BroadcastResult",
    "Client",
    "ClientStatistics",
    "Codec",
    "Delivery",
    "EchoMsg",
    "Entity",
    "EntityEvent",
    "EntityFound",
    "EntityLost",
    "EntityWatch",
    "EtcdConfig",
    "Filter",
    "GridError",
    "Group",
    "IncomingCall",
    "Interceptor",
    "Kind",
    "Mailbox",
    "MailboxStatistics",
    "Outcome",
    "OutgoingCall",
    "PeerLoad",
    "PoolStatistics",
    "Proceed",
    "Reminder",
    "Request",
    "Restart",
    "Retry",
    "Ring",
    "Server",
    "ServerConfig",
    "ServerStatistics",
    "SessionStatistics",
    "StopSignal",
    "Stream",
    "Subscription",
    "Timer",
    "errors",
    "handler",
    "register",
    "state",
    "sync",
]

_HOMES = {
    "actor": ("Actor", "ActorContext", "StopSignal"),
    "client.broadcast": ("BroadcastResult", "Group", "Outcome"),
    "client.client": ("Client",),
    "client.placement": ("PeerLoad",),
    "client.reports": ("ActorReport", "ActorState"),
    "client.retry": ("Retry",),
    "client.subscription": ("Subscription",),
    "codec": ("Codec", "register"),
    "errors": ("GridError",),
    "etcd": ("EtcdConfig",),
    "handlers": ("handler",),
    "interceptors": ("Filter", "IncomingCall", "Interceptor", "OutgoingCall", "Proceed"),
    "mailbox.mailbox": ("Mailbox",),
    "mailbox.request": ("Request",),
    "mailbox.statistics": ("MailboxStatistics",),
    "registry.entities": ("Entity", "EntityEvent", "EntityFound", "EntityLost", "EntityWatch"),
    "registry.names": ("Kind",),
    "registry.reminders": ("Reminder",),
    "registry.ring": ("Ring",),
    "server.config": ("ServerConfig",),
    "server.restarts": ("Restart",),
    "server.server": ("Server",),
    "server.statistics": ("ServerStatistics",),
    "stream": ("Stream",),
    "timers": ("Timer",),
    "tls": ("TLS",),
    "transport.breaker": ("BreakerPolicy", "BreakerState"),
    "transport.statistics": (
        "BreakerStatistics",
        "ClientStatistics",
        "PoolStatistics",
        "SessionStatistics",
    ),
    "wire_pb2": ("Ack", "ActorStart", "ActorStop", "Delivery", "EchoMsg"),
}
_MODULES = ("errors", "state", "sync")
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"grid.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'grid' has no attribute {name!r}")
    value = getattr(import_module(f"grid.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

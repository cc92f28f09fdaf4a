"""Services: typed calls that are generated from .proto files.

Generated code imports what it needs from here; see `docs/services.md`.
"""

from __future__ import annotations

from grid.aio import Opening
from rpc.buses import Bus, Capabilities, Channel, GridBus, LocalBus, Subscription
from rpc.services.bus_of import BusLike
from rpc.services.client import ClientOptions, MemberResult, MultiCall, ServiceClient, Updates
from rpc.services.client_calls import ClientCall, ClientInterceptor, ClientProceed
from rpc.services.codes import ErrorCode
from rpc.services.context import CallContext
from rpc.services.errors import (
    AllDeclined,
    AllUnreachable,
    AlreadyServed,
    CallClosed,
    CallTimedOut,
    MalformedRequest,
    MalformedResult,
    NoServers,
    NotRegistered,
    OutcomeUnclear,
    ServiceError,
    StreamEnded,
    SubscriptionLost,
    Unimplemented,
)
from rpc.services.handlers import ServerInterceptor, ServerProceed
from rpc.services.retry import retry
from rpc.services.selection import Bid, SelectionOptions
from rpc.services.server import ServerOptions, ServiceServer
from rpc.services.specification import MethodSpec, Routing, ServiceSpec
from rpc.services.streams import ServiceStream

__all__ = [
    "AllDeclined",
    "AllUnreachable",
    "AlreadyServed",
    "Bid",
    "Bus",
    "BusLike",
    "CallClosed",
    "CallContext",
    "CallTimedOut",
    "Capabilities",
    "Channel",
    "ClientCall",
    "ClientInterceptor",
    "ClientOptions",
    "ClientProceed",
    "ErrorCode",
    "GridBus",
    "LocalBus",
    "MalformedRequest",
    "MalformedResult",
    "MemberResult",
    "MethodSpec",
    "MultiCall",
    "NoServers",
    "NotRegistered",
    "Opening",
    "OutcomeUnclear",
    "Routing",
    "SelectionOptions",
    "ServerInterceptor",
    "ServerOptions",
    "ServerProceed",
    "ServiceClient",
    "ServiceError",
    "ServiceServer",
    "ServiceSpec",
    "ServiceStream",
    "StreamEnded",
    "Subscription",
    "SubscriptionLost",
    "Unimplemented",
    "Updates",
    "retry",
]

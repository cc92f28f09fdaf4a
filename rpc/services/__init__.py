"""Services: typed calls that are generated from .proto files.

Generated code imports what it needs from here; see `docs/services.md`.
"""

from __future__ import annotations

from grid.aio import Opening
from rpc.buses import Bus, Capabilities, Channel, GridBus, LocalBus, Subscription
from rpc.services.bus_of import BusLike
from rpc.services.client import ClientOptions, ServiceClient
from rpc.services.client_calls import (
    ClientCall,
    ClientInterceptor,
    ClientMultiInterceptor,
    ClientMultiProceed,
    ClientProceed,
    ClientStreamInterceptor,
    ClientStreamProceed,
)
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
    ReplyTooLarge,
    ServiceError,
    StreamEnded,
    SubscriptionLost,
    Unimplemented,
)
from rpc.services.handlers import (
    ServerInterceptor,
    ServerProceed,
    ServerStreamInterceptor,
    ServerStreamProceed,
)
from rpc.services.observers import CallEvent, EventKind, Observer
from rpc.services.recovery import recovery
from rpc.services.results import MemberResult, MultiCall
from rpc.services.retry import Again, retry
from rpc.services.selection import Bid, SelectionOptions
from rpc.services.server import ServerOptions, ServiceServer
from rpc.services.specification import MethodSpec, Routing, ServiceSpec
from rpc.services.streams import ServiceStream, StreamWrapper
from rpc.services.subscriptions import Updates
from rpc.services.tracing import Tracing

__all__ = [
    "Again",
    "AllDeclined",
    "AllUnreachable",
    "AlreadyServed",
    "Bid",
    "Bus",
    "BusLike",
    "CallClosed",
    "CallContext",
    "CallEvent",
    "CallTimedOut",
    "Capabilities",
    "Channel",
    "ClientCall",
    "ClientInterceptor",
    "ClientMultiInterceptor",
    "ClientMultiProceed",
    "ClientOptions",
    "ClientProceed",
    "ClientStreamInterceptor",
    "ClientStreamProceed",
    "ErrorCode",
    "EventKind",
    "GridBus",
    "LocalBus",
    "MalformedRequest",
    "MalformedResult",
    "MemberResult",
    "MethodSpec",
    "MultiCall",
    "NoServers",
    "NotRegistered",
    "Observer",
    "Opening",
    "OutcomeUnclear",
    "ReplyTooLarge",
    "Routing",
    "SelectionOptions",
    "ServerInterceptor",
    "ServerOptions",
    "ServerProceed",
    "ServerStreamInterceptor",
    "ServerStreamProceed",
    "ServiceClient",
    "ServiceError",
    "ServiceServer",
    "ServiceSpec",
    "ServiceStream",
    "StreamEnded",
    "StreamWrapper",
    "Subscription",
    "SubscriptionLost",
    "Tracing",
    "Unimplemented",
    "Updates",
    "recovery",
    "retry",
]

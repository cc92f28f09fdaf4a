"""Remote state machines over the grid.

async with rpc.Server(lights, peer):                # where the machine lives
    ...

async with rpc.Client(client, "lights") as remote:  # anywhere else
    await remote.machine.add("Green")
    await remote.machine.when("Red")
"""

from __future__ import annotations

from rpc import sync
from rpc.machines.access import Access, Visitor
from rpc.machines.backoff import RetryPolicy
from rpc.machines.client import Client
from rpc.machines.errors import (
    AccessDenied,
    CallTimeout,
    NotConnected,
    NotPlainData,
    PayloadTooLarge,
    ProtocolError,
    RemoteError,
    SourceGone,
    SourceRestarted,
    UnknownCall,
)
from rpc.machines.files import read_payload, save_payload
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_machine import RemoteMachine
from rpc.machines.server import Server
from rpc.machines.states import ClientStates, ServerStates

__all__ = [
    "Access",
    "AccessDenied",
    "CallTimeout",
    "Client",
    "ClientStates",
    "NotConnected",
    "NotPlainData",
    "Payload",
    "PayloadTooLarge",
    "Progress",
    "ProtocolError",
    "RemoteError",
    "RemoteMachine",
    "RetryPolicy",
    "Server",
    "ServerStates",
    "SourceGone",
    "SourceRestarted",
    "UnknownCall",
    "Visitor",
    "read_payload",
    "save_payload",
    "sync",
]

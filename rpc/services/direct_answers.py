"""Answers of servers on a bus with a directory, and the error of those that do not come."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.message import Message

from rpc.service_pb2 import Reply
from rpc.services.calls import Outgoing
from rpc.services.errors import CallTimedOut, MalformedResult, error_of

__all__ = ["ignored", "overdue", "payload_of"]


def payload_of(reply: Any, member: str) -> bytes:
    """The payload of an answer; raises the error that it is."""
    if type(reply) is not Reply:
        raise MalformedResult(f"{member} answered with a {reply.DESCRIPTOR.full_name}")
    if reply.code:
        raise error_of(reply.code, reply.text, reply.details, members=(member,))
    payload: bytes = reply.payload
    return payload


def overdue(call: Outgoing, members: tuple[str, ...]) -> CallTimedOut:
    """The error of a call whose time is over."""
    asked = ", ".join(members)
    return CallTimedOut(
        f"{call.what}: no answer of {asked} within {round(call.timeout, 3):g} s", members=members
    )


def ignored(told: asyncio.Future[Message]) -> None:
    """Take an answer that does not matter."""
    if not told.cancelled():
        told.exception()  # read, or it would be logged

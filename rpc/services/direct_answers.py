"""Answers of servers on a bus with a directory, and the error of those that do not come."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.message import Message

from grid.errors import RequestFailed
from rpc.service_pb2 import Reply
from rpc.services.calls import Outgoing
from rpc.services.codes import code_of_grpc
from rpc.services.errors import CallTimedOut, MalformedResult, ServiceError, error_of

__all__ = ["failure_of", "ignored", "overdue", "payload_of"]


def payload_of(reply: Any, member: str) -> bytes:
    """The payload of an answer; raises the error that it is."""
    if type(reply) is not Reply:
        raise MalformedResult(f"{member} answered with a {reply.DESCRIPTOR.full_name}")
    if reply.code:
        raise error_of(reply.code, reply.text, reply.details, members=(member,))
    payload: bytes = reply.payload
    return payload


def failure_of(error: RequestFailed, member: str) -> ServiceError:
    """The error of a member that failed the request itself, such as for an answer too large."""
    return error_of(code_of_grpc(error.code), error.text, members=(member,))


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

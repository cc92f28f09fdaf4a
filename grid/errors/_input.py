"""Bad input: the caller's to mend."""

from __future__ import annotations

import re

from grid.errors._base import GridError

__all__ = [
    "AlreadyResponded",
    "CannotRunHere",
    "ClientClosed",
    "ForkedProcess",
    "InvalidActorType",
    "InvalidAddress",
    "InvalidArgument",
    "InvalidName",
    "InvalidNamespace",
    "MessageTooLarge",
    "ServerNotRunning",
    "UnexpectedReply",
    "UnspecifiedAddress",
    "UnsupportedMessage",
    "WrongEventLoop",
]


_NAME_RULE = "1 to 1,024 of a-z A-Z 0-9 - _"
_SHOWN = 64  # characters of a bad name in a text


class InvalidName(GridError, ValueError):
    """A name breaks the rule of names. Nothing was sent; use another name."""

    name: str
    kind: str

    def __init__(self, name: str, kind: str = "name") -> None:
        shown = repr(name)
        if isinstance(name, str) and len(name) > _SHOWN:
            shown = f"{name[:_SHOWN]!r}... ({len(name)} characters)"
        super().__init__(
            f"grid: invalid {self._what(kind)}: {shown} must be {_NAME_RULE}", name=name, kind=kind
        )

    def _what(self, kind: str) -> str:
        return "mailbox name" if kind == "mailbox" else "name"


class InvalidNamespace(InvalidName):
    """A namespace breaks the rule of names."""

    def __init__(self, name: str, kind: str = "namespace") -> None:
        super().__init__(name, kind)

    def _what(self, kind: str) -> str:
        return "namespace"


class InvalidActorType(InvalidName):
    """An actor type breaks the rule of names."""

    def __init__(self, name: str, kind: str = "type") -> None:
        super().__init__(name, kind)

    def _what(self, kind: str) -> str:
        return "actor type"


# The user and password of a URL, and the password among the settings of a database.
_SECRETS = re.compile(r"(?<=://)[^\s,]*@|(?<=password=)[^\s&;]+", re.IGNORECASE)


class InvalidArgument(GridError, ValueError):
    """An argument is out of its range. Nothing was sent; give another value.

    Attributes:
        argument: which one.
        expected: the values that it may have.
    """

    argument: str
    value: str
    expected: str

    def __init__(self, argument: str, value: object, expected: str) -> None:
        # Errors reach logs, and a URL may have a password.
        text = _SECRETS.sub("...", value if isinstance(value, str) else repr(value))
        super().__init__(
            f"grid: {argument} must be {expected}, not {text}",
            argument=argument,
            value=text,
            expected=expected,
        )


class InvalidAddress(GridError, ValueError):
    """An address is not `host:port`, or cannot be bound. Correct it."""

    address: str
    reason: str

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"address {address!r}: {reason}", address=address, reason=reason)


class UnspecifiedAddress(InvalidAddress):
    """An address of every interface cannot be dialled: pass `advertise`."""

    def __init__(self, address: str, reason: str = "") -> None:
        super().__init__(
            address,
            reason
            or "registry: unspecified net address ip: others cannot dial it; give the address to "
            'advertise as well, or advertise="auto"',
        )


class UnsupportedMessage(GridError, TypeError):
    """A value is not a protobuf message (class), or cannot be encoded. Nothing was sent.

    Attributes:
        type_name: the type of the value.
        reason: the cause, if it is a message; e.g. the required fields that it lacks.
    """

    type_name: str
    reason: str

    def __init__(self, type_name: str, reason: str = "") -> None:
        cause = f"{type_name}: {reason}" if reason else f"{type_name} is not a protobuf message"
        super().__init__(f"codec: unsupported message: {cause}", type_name=type_name, reason=reason)


class MessageTooLarge(GridError):
    """A message is over the size limit, of its sender or of its receiver.

    A request that is too large was seen by no actor; if it is the reply, the
    request was acted upon.

    Attributes:
        size: bytes of the message.
        limit: bytes allowed.
        part: the part that is too large: `message` or `metadata`.
    """

    size: int
    limit: int
    part: str

    def __init__(self, size: int, limit: int, part: str = "message") -> None:
        super().__init__(
            f"grid: {part} too large: {size} bytes, the limit is {limit}",
            size=size,
            limit=limit,
            part=part,
        )


class UnexpectedReply(GridError, TypeError):
    """The receiver answered with another type than the caller asked for.

    The request was acted upon, so a resend may act twice.
    """

    expected: str
    got: str

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected a reply of {expected}, got {got}", expected=expected, got=got)


class CannotRunHere(GridError, RuntimeError):
    """A server cannot be run in this thread. The text says how to run it there."""

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(f"grid: the server cannot be run here: {reason}", reason=reason)


class ClientClosed(GridError):
    """The client was closed. Make a new one."""

    def __init__(self) -> None:
        super().__init__("grid: the client is closed")


class WrongEventLoop(GridError, RuntimeError):
    """The call belongs on the event loop that its object was first used on.

    Nothing was done. Make a client for each loop; from other threads use `grid.sync`, or
    `asyncio.run_coroutine_threadsafe`.
    """

    owner: str

    def __init__(self, owner: str = "client") -> None:
        way = "call it there, from other threads by asyncio.run_coroutine_threadsafe"
        if owner == "client":
            way = "make another one for this loop, and from other threads use grid.sync"
        super().__init__(
            f"grid: the {owner} belongs to the event loop it was first used on; {way}",
            owner=owner,
        )


class ForkedProcess(GridError, RuntimeError):
    """This process was forked from one that used the grid, whose threads it does not have.

    Nothing was sent. Start children by `spawn` or `forkserver`, or close all
    clients and servers before the fork and make others in the child.
    """

    def __init__(self) -> None:
        super().__init__(
            "grid: this process was forked from one in which the grid was in use, so clients and "
            "servers cannot work here; start it by spawn or forkserver (multiprocessing."
            "get_context), or fork before the first client"
        )


class ServerNotRunning(GridError):
    """The server is not started yet, or was stopped."""

    def __init__(self) -> None:
        super().__init__("grid: server not running")


class AlreadyResponded(GridError):
    """The request has its answer already; the first one stands."""

    def __init__(self) -> None:
        super().__init__("already responded")

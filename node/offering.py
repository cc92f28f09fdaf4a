"""Offers of workers: the decorator that makes a function a kind of workers of a peer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from grid.errors import InvalidArgument
from grid.server.server import Server
from node.agent.agent import Agent
from node.names import agent_type
from node.settings import PoolSettings
from node.supervisor.supervisor import supervise
from node.worker.definition import check_kind, register

__all__ = ["worker"]

F = TypeVar("F", bound=Callable[..., Any])

_offered: WeakKeyDictionary[Server, set[str]] = WeakKeyDictionary()  # kinds of each peer
_MAILBOX = 16  # questions that an agent has not read yet
_SETTINGS = tuple(one.name for one in fields(PoolSettings))


def worker(server: Server, kind: str, **settings: Any) -> Callable[[F], F]:
    """Decorator: a peer offers workers of this kind, whose jobs this function or class runs.

        @node.worker(peer, "square", min=2, max=8)
        def square(number: int) -> int:
            return number * number

    The pool is one for all peers of the namespace that offer the kind. A plain function runs in
    a thread of its worker's process, one job at a time; an async one on its event loop. Its
    input and its result are plain data or protobuf messages. The function itself stays as it
    is. A class derives from `node.WorkerMachine`.

    One of these peers supervises all pools, as the leader. A peer with a leader of its own,
    defined before, calls `node.supervise(ctx)` in it.

    Args:
        server: the peer, not started yet.
        kind: the name of the workers; the same everywhere.
        settings: fields of `PoolSettings`.

    Raises:
        InvalidName, InvalidArgument: the kind, a setting, or the function cannot be used; or the
            peer, or the function's module, has the kind already.
    """
    if not isinstance(server, Server):
        raise InvalidArgument("the peer of a worker", server, "a grid.Server")
    check_kind(kind)
    for name in settings.keys() - set(_SETTINGS):
        raise InvalidArgument("a setting of a pool", name, f"one of {', '.join(_SETTINGS)}")
    given = PoolSettings(**settings)

    def decorate(function: F) -> F:
        kinds = _offered.setdefault(server, set())
        if kind in kinds:
            raise InvalidArgument(
                "the kind of workers", kind, "one that its peer does not have yet"
            )
        definition = register(kind, function, given)
        kinds.add(kind)
        server.define(
            agent_type(kind),
            lambda _: Agent(definition, server.config, lambda: server.address),
            mailbox=_MAILBOX,
        )
        with contextlib.suppress(InvalidArgument):  # the peer has a leader of its own
            server.actor("leader")(supervise)
        return function

    return decorate

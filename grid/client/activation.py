"""Activation: a request to a name of a type that peers activate starts an actor of that name.

The callers of one client that ask for one name wait for one start. Of several clients one wins:
the name has one owner in the namespace, and a start whose name is held is content with that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from copy import copy
from typing import Any

from grid.aio import being_cancelled
from grid.client.lookups import from_etcd
from grid.client.retry import mark_tried
from grid.deadline import Deadline, within
from grid.errors import (
    ClientClosed,
    DeadlineExceeded,
    EtcdError,
    GridError,
    NotDelivered,
    UnregisteredMailbox,
)
from grid.registry.directory import Directory
from grid.registry.registration import Registration

__all__ = ["Activation", "activated_type"]


def activated_type(name: str, peers: Iterable[Registration]) -> str:
    """The type that a name activates, of several that fit the longest; empty for none."""
    types = {one for peer in peers for one in peer.activates}
    fitting = [one for one in types if name == one or name.startswith(f"{one}-")]
    return max(fitting, key=len, default="")


class Activation:
    """Starts the actors that requests ask for.

    Args:
        peers: says which types are activated.
        start: starts an actor of a type under a name, unless there is one.
        launch: makes a task that ends with the client at the latest.
    """

    def __init__(
        self,
        peers: Directory,
        start: Callable[[str, str], Coroutine[Any, Any, object]],
        launch: Callable[[Coroutine[Any, Any, object]], asyncio.Task[object]],
    ) -> None:
        self._peers = peers
        self._start = start
        self._launch = launch
        self._under_way: dict[str, asyncio.Task[object]] = {}

    async def __call__(self, key: str, deadline: Deadline) -> bool:
        """Start an actor for the full name of a mailbox; False if no peer activates it.

        Raises:
            What `Client.start_actor` raises; the request was not sent.
            UnregisteredMailbox: it did not start in time; the start goes on.
        """
        namespace, _, name = key.split(".")
        starting = self._under_way.get(name)
        if starting is None:
            listing = from_etcd(self._peers.etcd, deadline, "listing the peers", self._peers.all())
            type_ = activated_type(name, await listing)
            if not type_:
                return False
            # Another caller may have begun meanwhile.
            starting = self._under_way.get(name) or self._begin(type_, name)
        try:
            await within(deadline, f"the start of {name!r}", asyncio.shield(starting))
        except DeadlineExceeded as error:
            late = UnregisteredMailbox(name, namespace)
            late.add_note(f"an actor is being started for it: {error}")
            raise late from None
        except GridError as error:
            own = copy(error)  # each caller has its own
            if not isinstance(error, NotDelivered | EtcdError):
                mark_tried(own)  # the peer's answer to a start, which was sent again already
            raise own from error.__cause__
        except asyncio.CancelledError:
            if starting.cancelled() and not being_cancelled():
                raise ClientClosed from None
            raise
        return True

    def _begin(self, type_: str, name: str) -> asyncio.Task[object]:
        starting = self._under_way[name] = self._launch(self._start(type_, name))
        starting.add_done_callback(lambda _: self._ended(name, starting))
        return starting

    def _ended(self, name: str, starting: asyncio.Task[object]) -> None:
        del self._under_way[name]
        if not starting.cancelled():
            starting.exception()  # all callers may have left: it is not to be logged then

"""Hand-over: actors that end here start on another peer, once their names are free.

Requests that come in between are not delivered, and their clients send them again to the next
owner: so none is lost, and no two actors have one name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

from grid.client.moving import MAX_MOVES, ask_to_take
from grid.deadline import Deadline, now
from grid.errors import GridError, NotDelivered, NotPlaced
from grid.errors.classification import from_actor
from grid.registry.ring import Ring
from grid.wire_pb2 import ActorStart

if TYPE_CHECKING:
    from grid.actor import ActorContext
    from grid.client.client import Client
    from grid.registry.entities import Entity

__all__ = ["Handover"]

_log = logging.getLogger("grid.actor")

_TIMEOUT = 3.0  # seconds for the start on another peer
_CURRENT = 0.5  # seconds for which the peers that were asked for are used again


class Handover:
    """Starts the actors of a peer elsewhere.

    Args:
        client: the peer's client.
        hurried: set when the peer shall end at once; then no more are started.
        timeout: seconds for each start.
    """

    def __init__(
        self, client: Callable[[], Client], hurried: asyncio.Event, timeout: float = _TIMEOUT
    ) -> None:
        self._client = client
        self._hurried = hurried
        self._timeout = timeout
        self._slots = asyncio.Semaphore(MAX_MOVES)
        self._known: tuple[float, asyncio.Future[list[Entity]]] | None = None

    async def start(self, context: ActorContext) -> None:
        """Start an actor that has ended on another peer that offers its type, if there is one."""
        async with self._slots:
            if self._hurried.is_set():
                return
            try:
                peer = await self._elsewhere(context)
            except GridError as error:
                _log.warning("actor %s was not handed over: %s", context.id, error)
            else:
                if peer:
                    _log.info("actor %s goes on at peer %s", context.id, peer)

    async def ask(self, context: ActorContext, peer: str) -> bool:
        """Ask this peer whether it takes an actor that runs here; True if it has started it.

        It does so only if the actor has ended meanwhile.

        Raises:
            RequestFailed: it does not take it, or cannot be asked; its cause says why.
        """
        start = ActorStart(type=context.type, name=context.name, data=context.data)
        try:
            return await ask_to_take(self._client(), start, peer, self._timeout)
        except GridError as error:
            raise from_actor(error) from error  # or the client would ask for the move again

    async def start_on(self, context: ActorContext, peer: str) -> None:
        """Start an actor that has ended on this peer, unless the keeper has started it meanwhile.

        Raises:
            GridError: it does not run, as `Client.start_actor` says.
        """
        await self._client().start_actor(
            context.type,
            name=context.name,
            peer=peer,
            data=context.data,
            if_exists="return",
            timeout=self._timeout,
        )

    async def _peers(self) -> list[Entity]:
        # A drain asks for each of its actors, and those may be many.
        if self._known is None or now() - self._known[0] > _CURRENT:
            reading = asyncio.ensure_future(self._client().query("peer", timeout=self._timeout))
            self._known = now(), reading
        try:
            return await asyncio.shield(self._known[1])
        except GridError as error:
            raise copy(error) from error.__cause__  # each actor has its own

    async def _elsewhere(self, context: ActorContext) -> str:
        deadline = Deadline.after(self._timeout)
        able = [one.name for one in await self._peers() if context.type in one.types]
        refusals: dict[str, str] = {}
        for peer in Ring(one for one in able if one != context.peer).owners(context.name):
            try:
                return await self._client().start_actor(
                    context.type,
                    name=context.name,
                    peer=peer,
                    data=context.data,
                    if_exists="return",
                    timeout=deadline.remaining(),
                )
            except NotDelivered as error:
                refusals[peer] = str(error)
        if refusals:
            raise NotPlaced(context.name, refusals)
        return ""

"""Calls about actors, blocking: the part of a blocking client that is not about messages."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Coroutine, Iterable
from typing import Any, Literal, TypeVar

from grid import client as _client
from grid.aio import Portal
from grid.client.placement import Place
from grid.client.reports import ActorReport
from grid.errors import ClientClosed
from grid.mailbox.dispatcher import peer_of_this_loop
from grid.registry.balancing import Move
from grid.registry.reminders import Reminder

__all__ = ["ActorCalls"]

T = TypeVar("T")


class ActorCalls:
    """Calls about actors; see `Client`."""

    _client: _client.Client
    _portal: Portal
    _closed: bool

    def start_actor(
        self,
        type: str,  # noqa: A002
        *,
        name: str | None = None,
        peer: str | None = None,
        data: bytes = b"",
        annotations: Iterable[str] = (),
        if_exists: Literal["fail", "return"] = "fail",
        place: Place = "name",
        key: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """As `grid.Client.start_actor`."""
        return self._call(
            self._client.start_actor(
                type,
                name=name,
                peer=peer,
                data=data,
                annotations=annotations,
                if_exists=if_exists,
                place=place,
                key=key,
                timeout=timeout,
            )
        )

    def stop_actor(
        self, name: str, *, grace: float | None = None, timeout: float | None = None
    ) -> None:
        """As `grid.Client.stop_actor`."""
        self._call(self._client.stop_actor(name, grace=grace, timeout=timeout))

    def actor_reports(self, peer: str, *, timeout: float | None = None) -> list[ActorReport]:
        """As `grid.Client.actor_reports`."""
        return self._call(self._client.actor_reports(peer, timeout=timeout))

    def drain_peer(self, peer: str, *, timeout: float | None = None) -> None:
        """As `grid.Client.drain_peer`."""
        self._call(self._client.drain_peer(peer, timeout=timeout))

    def move_actor(self, name: str, peer: str, *, timeout: float | None = None) -> None:
        """As `grid.Client.move_actor`."""
        self._call(self._client.move_actor(name, peer, timeout=timeout))

    def rebalance(
        self, types: Iterable[str] | None = None, *, timeout: float | None = None
    ) -> list[Move]:
        """As `grid.Client.rebalance`."""
        return self._call(self._client.rebalance(types, timeout=timeout))

    def reminders(
        self, actor: str | None = None, *, timeout: float | None = None
    ) -> list[Reminder]:
        """As `grid.Client.reminders`."""
        return self._call(self._client.reminders(actor, timeout=timeout))

    def forget_reminder(self, actor: str, name: str, *, timeout: float | None = None) -> bool:
        """As `grid.Client.forget_reminder`."""
        return self._call(self._client.forget_reminder(actor, name, timeout=timeout))

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            coroutine.close()
            raise ClientClosed
        # Asking for the loop first costs nothing in a thread without one, the usual case.
        if asyncio._get_running_loop() is not None and (peer := peer_of_this_loop()):
            warnings.warn(
                f"this blocking call holds up the event loop of peer {peer!r}, which answers "
                "nothing meanwhile and may lose its lease: await a grid.Client, or use "
                "asyncio.to_thread",
                RuntimeWarning,
                stacklevel=3,
            )
        return self._portal.call(coroutine)

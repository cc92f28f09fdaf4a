"""A peer as its parts see it: its names, its mailboxes, its way to claim more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from grid.aio import check_loop
from grid.codec import Codec
from grid.errors import GridError, InvalidArgument, ServerNotRunning
from grid.mailbox.dispatcher import Dispatcher
from grid.mailbox.mailbox import Groups, Mailbox
from grid.registry.membership import Membership
from grid.registry.names import Kind, full_name, group_key, prefix
from grid.registry.registration import Amount, Offers, encode_registration
from grid.transport.protocol import VERSION

__all__ = ["Peer"]

_log = logging.getLogger("grid.server")

_WITHDRAWAL = 1.0  # seconds to tell etcd that the peer drains


class Peer:
    """Name, address and registrations of one peer."""

    def __init__(
        self,
        namespace: str,
        name: str,
        address: str,
        *,
        codec: Codec,
        limit: int,
        socket: str = "",
        tls: bool = False,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.address = address
        self.limit = limit
        self._socket = socket
        self._tls = tls
        self.dispatcher: Dispatcher = Dispatcher(codec)
        self.membership: Membership | None = None
        self._groups: dict[Mailbox, tuple[str, ...]] = {}  # keys that go with a mailbox
        self._loop = asyncio.get_running_loop()

    def check_loop(self) -> None:
        """Raise `WrongEventLoop` unless this runs on the loop that the server was started on."""
        check_loop(self._loop, "server")

    def joined(self) -> Membership:
        """The current membership; raises `ServerNotRunning` without one."""
        if self.membership is None:
            raise ServerNotRunning
        return self.membership

    async def claim(self, keys: tuple[str, ...], *, type: str = "") -> int:  # noqa: A002
        """Take full names for this peer, all or none; returns their epoch.

        The type is registered with the names of actors among them.
        """
        return await self.joined().claims.claim(self._values(keys, type))

    async def claim_own_name(
        self,
        annotations: tuple[str, ...],
        size: int,
        offers: Offers = Offers(),  # noqa: B008 - frozen
    ) -> Mailbox:
        """Take the peer's name, with what it says of itself, and its mailbox with it."""
        key = full_name(self.namespace, Kind.PEER, self.name)
        value = self._registration(
            key,
            annotations or None,
            types=offers.types,
            keep=offers.keep,
            activates=offers.activates,
            moves=offers.moves,
        )
        mailbox = self.new_mailbox(self.name, size)
        await self._claim_with({key: value, **self._values((mailbox.key,))}, mailbox)
        return mailbox

    async def withdraw(self, annotations: tuple[str, ...], offers: Offers) -> None:
        """Tell clients and the keeper to start no actors here; what is kept stays declared.

        If etcd does not take it, they learn it when they try.
        """
        key = full_name(self.namespace, Kind.PEER, self.name)
        value = self._registration(
            key, annotations or None, keep=offers.keep, activates=offers.activates
        )
        try:
            await self.joined().claims.rewrite(key, value, timeout=_WITHDRAWAL)
        except (GridError, KeyError) as error:
            _log.warning("peer %s could not tell that it drains: %r", self.name, error)

    async def free(self, keys: tuple[str, ...], epoch: int) -> None:
        """Give up what one claim took."""
        if self.membership is not None:
            await self.membership.claims.free(keys, epoch)

    def new_mailbox(self, name: str, size: int) -> Mailbox:
        """A mailbox that has no name in etcd yet."""
        return Mailbox(
            name,
            full_name(self.namespace, Kind.MAILBOX, name),
            size,
            codec=self.dispatcher.codec,
            limit=self.limit,
            release=self._release_mailbox,
        )

    async def open_mailbox(
        self,
        name: str,
        size: int,
        type: str = "",  # noqa: A002
        groups: Groups | None = None,
    ) -> Mailbox:
        """A mailbox under its name, and under paths of groups. Cancelling it leaves none behind."""
        self.check_loop()
        self.joined()
        if not isinstance(type, str):
            raise InvalidArgument("the type of a mailbox", type, "a string")
        mailbox = self.new_mailbox(name, size)
        paths = {group_key(self.namespace, path): types for path, types in (groups or {}).items()}
        values = {mailbox.key: self._registration(mailbox.key, type=type)}
        for key, types in paths.items():
            values[key] = self._registration(key, type=name, types=types)
        await self._claim_with(values, mailbox)
        if paths:
            self._groups[mailbox] = tuple(paths)
        return mailbox

    async def claim_with(
        self,
        keys: tuple[str, ...],
        mailbox: Mailbox,
        *,
        type: str = "",  # noqa: A002
    ) -> int:
        """Claim keys of which one is the mailbox's, and let its deliveries in."""
        return await self._claim_with(self._values(keys, type), mailbox)

    def _values(self, keys: tuple[str, ...], type: str = "") -> dict[str, bytes]:  # noqa: A002
        actors = prefix(self.namespace, Kind.ACTOR)
        return {
            key: self._registration(key, type=type if key.startswith(actors) else "")
            for key in keys
        }

    def _registration(
        self,
        key: str,
        annotations: tuple[str, ...] | None = None,
        *,
        type: str = "",  # noqa: A002
        types: Iterable[str] = (),
        keep: Iterable[tuple[str, Amount]] = (),
        activates: Iterable[str] = (),
        moves: Iterable[str] = (),
    ) -> bytes:
        return encode_registration(
            key,
            self.address,
            self.name,
            annotations,
            session=VERSION,
            socket=self._socket,
            type=type,
            types=types,
            keep=keep,
            activates=activates,
            moves=moves,
            tls=self._tls,
        )

    async def _claim_with(self, values: dict[str, bytes], mailbox: Mailbox) -> int:
        async with self.dispatcher.opening(mailbox):
            mailbox.epoch = await self.joined().claims.claim(values)
        return mailbox.epoch

    async def _release_mailbox(self, mailbox: Mailbox) -> None:
        # The name goes first, so that no client resolves it to a peer without it; the closed
        # mailbox answers clients that have resolved it already.
        try:
            await self.free((*self._groups.pop(mailbox, ()), mailbox.key), mailbox.epoch)
        finally:
            self.dispatcher.remove(mailbox)

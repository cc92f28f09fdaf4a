"""The address that a peer gives out: found at each join, and watched while the peer serves.

With `advertise="auto"` it is this machine's address on the way to etcd. That changes when a
container is connected to its network again, or a machine wakes up elsewhere; a peer that went
on under the address it had at its start would serve for itself and be reachable for none.
"""

from __future__ import annotations

import asyncio
import logging

from grid.deadline import Deadline
from grid.errors import EtcdUnavailable
from grid.server.config import ServerConfig
from grid.transport.addresses import advertised_address, split_address

__all__ = ["Location"]

_log = logging.getLogger("grid.server")

_PAUSE = 0.5  # seconds between tries to find the way to an etcd whose name is away
_REACH = 3.0  # seconds for a connection to the own address


class Location:
    """The address under which others dial a peer that listens on `port`."""

    def __init__(self, config: ServerConfig, port: int) -> None:
        self._config = config
        self._port = port

    async def find(self) -> str:
        """The address to give out now.

        Raises:
            EtcdUnavailable: it depends on the way to etcd, and no name of etcd has an
                address within the time of a call to etcd.
        """
        if not self._config.advertises_itself:
            return self._look()
        deadline = Deadline.after(self._config.etcd.timeout)
        while True:
            try:
                return await asyncio.to_thread(self._look)
            except EtcdUnavailable:
                if deadline.remaining() <= _PAUSE:
                    raise
            await asyncio.sleep(_PAUSE)

    async def wait_moved(self, address: str, period: float) -> str:
        """Return the new address once this machine has another than `address` for two looks."""
        before = address
        while True:
            await asyncio.sleep(period)
            try:
                found = await asyncio.to_thread(self._look)
            except EtcdUnavailable:
                continue  # the name of etcd is away, which says nothing of this machine
            if found == before != address:
                return found
            before = found

    async def check_reachable(self, peer: str, address: str) -> None:
        """Log a warning if nothing answers at the address that was given out."""
        try:
            async with asyncio.timeout(_REACH):
                _, writer = await asyncio.open_connection(*split_address(address))
        except OSError as error:
            _log.warning(
                "peer %s gives out the address %s, where it does not reach itself (%s); if others "
                "do not reach it either, correct its --advertise",
                peer,
                address,
                error or "no answer",
            )
        else:
            writer.transport.abort()

    def _look(self) -> str:
        config = self._config
        return advertised_address(
            config.listen, config.advertise, self._port, *config.etcd.endpoints
        )

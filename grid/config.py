"""How a peer serves, as one value that can be checked before any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grid._membership import check_lease
from grid.etcd import EtcdConfig
from grid.names import Kind, advertised_address, check_name, check_namespace, split_address

__all__ = ["ServerConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How a peer serves. Each field is an argument of `Server`."""

    namespace: str
    etcd: EtcdConfig
    listen: str
    advertise: str | None
    name: str | None
    annotations: tuple[str, ...]
    lease: float
    allow_leadership: bool
    drain_timeout: float
    on_lease_lost: Literal["rejoin", "exit"]
    max_message_bytes: int
    reflection: bool

    def check(self) -> None:
        """Raise for what cannot work, before any I/O."""
        check_namespace(self.namespace)
        check_lease(self.lease)
        split_address(self.listen)
        if self.name is not None:
            check_name(self.name, Kind.PEER)
        if self.advertise is None:
            advertised_address(self.listen, None, 1, *self.etcd.endpoints)
        if self.on_lease_lost not in ("rejoin", "exit"):
            raise ValueError(f"on_lease_lost is 'rejoin' or 'exit', not {self.on_lease_lost!r}")

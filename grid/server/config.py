"""Settings of a peer as one value that can be checked before any I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from grid.errors import InvalidAddress, InvalidArgument
from grid.etcd import EtcdConfig
from grid.numbers import check_count, check_seconds
from grid.registry.membership import check_lease
from grid.registry.names import Kind, check_name, check_namespace, default_peer_name
from grid.tls import TLS
from grid.transport.addresses import advertised_address, split_address
from grid.transport.settings import SessionSettings
from grid.transport.unix_paths import new_socket_path

__all__ = ["ServerConfig", "check_annotations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Settings of a peer. Each field is an argument of `Server`."""

    namespace: str
    etcd: EtcdConfig
    listen: str
    advertise: str | None
    name: str | None
    annotations: tuple[str, ...]
    lease: float
    allow_leadership: bool
    drain_timeout: float
    slots: int | None
    on_lease_lost: Literal["rejoin", "exit"]
    max_message_bytes: int
    reflection: bool
    unix_socket: bool | None
    compression: str | None
    checksum: bool
    tls: TLS | None = None

    @property
    def session_settings(self) -> SessionSettings:
        """Settings of the peer's sessions. Raises `InvalidArgument` for a value out of range."""
        return SessionSettings(
            max_message_bytes=self.max_message_bytes,
            compression=self.compression,
            checksum=self.checksum,
        )

    @property
    def wants_socket(self) -> bool:
        """True if a unix socket shall be listened on, too."""
        if self.unix_socket is None:
            # An address that was named is to be dialled: something may stand before it.
            return self.advertise in (None, "auto")
        return self.unix_socket

    def new_socket_path(self) -> str | None:
        """A path for that socket; None for none.

        A peer with TLS has one only where the kernel tells each side the user of the other.
        """
        return new_socket_path(trusted=self.tls is not None) if self.wants_socket else None

    @property
    def client_options(self) -> dict[str, Any]:
        """Options that the peer's own client shares with the peer."""
        names = ("max_message_bytes", "compression", "checksum", "tls")
        return {name: getattr(self, name) for name in names}

    @property
    def advertises_itself(self) -> bool:
        """True if the address to give out is this machine's on the way to etcd."""
        return self.advertise is not None and self.advertise.partition(":")[0] == "auto"

    @property
    def has_any_port(self) -> bool:
        """True if the system chooses the port, and so the address under which the peer joins."""
        _, port = split_address(self.listen)
        return port == 0 and self._example_address(1) != self._example_address(2)

    def check_fields(self) -> None:
        """Raise for a field that is wrong whatever the others are."""
        self._check_types()
        check_namespace(self.namespace)
        for name in ("lease", "drain_timeout"):
            check_seconds(name, getattr(self, name))
        check_lease(self.lease)
        split_address(self.listen)
        _check_advertise(self.advertise)
        if self.name is not None:
            check_name(self.name, Kind.PEER)
        check_count("max_message_bytes", self.max_message_bytes)
        check_annotations(self.annotations)
        if self.slots is not None:
            check_count("slots", self.slots)
        _ = self.session_settings
        if self.reflection and find_spec("grpc_reflection") is None:
            fix = "False without its extra: pip install 'actor-grid[reflection]'"
            raise InvalidArgument("reflection", True, fix)
        if self.on_lease_lost not in ("rejoin", "exit"):
            raise InvalidArgument("on_lease_lost", self.on_lease_lost, "'rejoin' or 'exit'")

    def check(self) -> None:
        """Raise for what cannot work, before any I/O."""
        self.check_fields()
        address = self._example_address(1)
        if self.name is None:
            default_peer_name(address)
        if self.tls is not None:
            self.tls.check_for_server()

    def _example_address(self, port: int) -> str:
        advertise = self.advertise
        if advertise is not None and self.advertises_itself:  # found at each join, by I/O
            advertise = advertise.replace("auto", "127.0.0.1", 1)
        return advertised_address(self.listen, advertise, port)

    def _check_types(self) -> None:
        for name, (types, expected) in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, types):
                raise InvalidArgument(name, value, expected)


_NONE = type(None)
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "namespace": ((str,), "a string"),
    "etcd": ((EtcdConfig,), "host:port,host:port or an EtcdConfig"),
    "listen": ((str,), "host:port"),
    "advertise": ((str, _NONE), "host[:port], 'auto' or None"),
    "name": ((str, _NONE), "a string or None"),
    "allow_leadership": ((bool,), "True or False"),
    "reflection": ((bool,), "True or False"),
    "unix_socket": ((bool, _NONE), "True, False or None"),
    "compression": ((str, _NONE), "'zstd', 'gzip', 'auto' or None"),
    "checksum": ((bool,), "True or False"),
    "tls": ((TLS, _NONE), "a grid.TLS or None"),
}


def check_annotations(annotations: Iterable[str]) -> tuple[str, ...]:
    """The annotations, sorted.

    Raises:
        InvalidArgument: they are not strings, or are the letters of one.
    """
    listed = isinstance(annotations, Iterable) and not isinstance(annotations, str)
    given = tuple(annotations) if listed else ()
    if not listed or not all(isinstance(one, str) for one in given):
        raise InvalidArgument("annotations", annotations, "a list of strings")
    return tuple(sorted(given))


def _check_advertise(advertise: str | None) -> None:
    if advertise is not None and (not advertise or any(map(str.isspace, advertise))):
        raise InvalidAddress(advertise, "must be host[:port] without blanks")

"""The configuration of a connection to etcd."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from grid.errors import InvalidAddress, InvalidArgument
from grid.numbers import check_seconds

__all__ = ["EtcdConfig"]

_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*))"
    r":(?P<port>[0-9]{1,5})/?",
)


@dataclass(frozen=True)
class EtcdConfig:
    """Endpoints, credentials and TLS files of an etcd cluster.

    Args:
        endpoints: `host:port` of members, IPv6 in brackets; `http://` and
            `https://` in front are accepted and dropped, `https` turns TLS on.
        ca: PEM file with the authority that signed etcd's certificates; turns
            TLS on. Without it, TLS uses the system's authorities.
        cert, key: PEM files with the client's certificate and key (mTLS).
        user, password: for an etcd with authentication.
        timeout: seconds that one call may take unless it says otherwise.

    Raises:
        InvalidAddress: an endpoint is not an address, or there is none.
        ValueError: only one of a pair (cert and key, user and password) is
            given, or a certificate is given without TLS.
        InvalidArgument: `timeout` is not above 0, or `user` or `password` is no text.
    """

    endpoints: tuple[str, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    tls: bool = False

    def __post_init__(self) -> None:
        given = (self.endpoints,) if isinstance(self.endpoints, str) else self.endpoints
        if not given:
            raise InvalidAddress("", "no etcd endpoint is given")
        parsed = [_address(one) for one in given]
        schemes = {scheme for scheme, _ in parsed if scheme}
        if len(schemes) > 1:
            raise InvalidAddress(",".join(given), "http and https endpoints are mixed")
        self._set(endpoints=tuple(dict.fromkeys(address for _, address in parsed)))
        self._set(tls=self.tls or "https" in schemes or self.ca is not None)
        self._set(**{name: _path(getattr(self, name)) for name in ("ca", "cert", "key")})
        self._check_pairs()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_pairs(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("etcd: cert and key go together")
        if (self.user is None) != (self.password is None):
            raise ValueError("etcd: user and password go together")
        for name in ("user", "password"):
            if getattr(self, name) is not None and not _is_text(getattr(self, name)):
                expected = "a text that UTF-8 can encode"
                raise InvalidArgument(f"{name} of etcd", "another value (not shown)", expected)
        if self.cert is not None and not self.tls:
            raise ValueError("etcd: a client certificate needs TLS: use https:// or give ca")
        check_seconds("timeout of etcd", self.timeout, zero=False, endless=True)

    def _connect(self, endpoint: str) -> Any:
        # A channel that is not gRPC's, for a registry in memory.
        return None

    @classmethod
    def parse(cls, text: str, **options: Any) -> Self:
        """The configuration for a comma list of endpoints.

        Args:
            text: for example `"10.0.0.1:2379,10.0.0.2:2379"`.
            options: the other fields.
        """
        return cls(tuple(one.strip() for one in text.split(",") if one.strip()), **options)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.encode("utf-8", "ignore").decode()


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _address(text: str) -> tuple[str | None, str]:
    _, user, place = text.rpartition("@")
    if user:  # which is not shown: it may have a password
        raise InvalidAddress(place, "the user of etcd is given by user= and password=")
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise InvalidAddress(text, "an etcd endpoint is host:port, for example 127.0.0.1:2379")
    if not 0 < int(match["port"]) < 65536:
        raise InvalidAddress(text, "the port must be between 1 and 65535")
    return match["scheme"], f"{match['host']}:{int(match['port'])}"

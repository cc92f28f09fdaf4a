"""TLS between peers and clients: one frozen value, the same for a `Server` and for a `Client`."""

from __future__ import annotations

import re
import ssl
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grid.errors import InvalidArgument

__all__ = ["TLS"]

_FILES = ("ca", "cert", "key")
_TOKEN = re.compile("[!-~]{1,4096}")


@dataclass(frozen=True, kw_only=True)
class TLS:
    """Files and rules of TLS for one peer or client.

    A client with it never speaks cleartext, and a peer with it takes no cleartext. The files
    are read again when they change, without a restart; sessions that stand go on.

    Args:
        ca: PEM file of the authorities that sign the certificates of peers and clients. Without
            it, those of the system count.
        cert, key: PEM files of the own certificate, with its chain, and of its key without a
            password. A peer needs them; a client does where peers ask for a certificate.
        server_name: the name that certificates of peers must have, in the place of the host
            that a peer advertises.
        require_client_certificate: a peer takes only callers that show a certificate of `ca`
            (mTLS). By default it does if it has `ca`.
        token: a secret that a client shows to peers with each session and call, and that a peer
            asks of its callers, beside a certificate or in the place of one.
        allow_cleartext: also speak cleartext to a peer that says that it has no TLS, such as
            a Go peer.

    Raises:
        InvalidArgument: the values do not fit together.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None
    require_client_certificate: bool | None = None
    token: str | None = field(default=None, repr=False)
    allow_cleartext: bool = False

    def __post_init__(self) -> None:
        for name in _FILES:
            object.__setattr__(self, name, _path(name, getattr(self, name)))
        if (self.cert is None) != (self.key is None):
            given, missing = ("key", "cert") if self.cert is None else ("cert", "key")
            raise InvalidArgument("tls", f"just a {given}", f"a {given} with its {missing}")
        if self.server_name is not None and not (
            isinstance(self.server_name, str) and self.server_name
        ):
            raise InvalidArgument("server_name of tls", self.server_name, "a host name or None")
        if self.require_client_certificate not in (None, True, False):
            value = self.require_client_certificate
            raise InvalidArgument("require_client_certificate of tls", value, "True, False or None")
        token = self.token
        if token is not None and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
            expected = "1 to 4,096 visible ASCII characters, or None"
            raise InvalidArgument("token of tls", "another value (not shown)", expected)
        if not isinstance(self.allow_cleartext, bool):
            raise InvalidArgument("allow_cleartext of tls", self.allow_cleartext, "True or False")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        return tuple(Path(path) for path in (self.ca, self.cert, self.key) if path is not None)

    def plain(self) -> dict[str, str | bool | None]:
        """Its fields, with the token, as JSON can carry them to another process.

        `TLS(**fields)` is the same. They are for a pipe, not for output.
        """
        fields = asdict(self)
        return {k: str(v.absolute()) if isinstance(v, Path) else v for k, v in fields.items()}

    @property
    def asks_for_certificates(self) -> bool:
        """True if a peer with it takes only callers that show a certificate."""
        required = self.require_client_certificate
        return self.ca is not None if required is None else required

    def check(self) -> None:
        """Read the files, and raise `InvalidArgument` for one that cannot be used."""
        self.context()

    def check_for_server(self) -> None:
        """Raise `InvalidArgument` for what a peer cannot serve with."""
        if self.cert is None:
            raise InvalidArgument("tls of a peer", "without them", "given its cert and key")
        if self.asks_for_certificates and self.ca is None:
            raise InvalidArgument("ca of tls", None, "given to require certificates of clients")
        self.check()

    def context(self) -> ssl.SSLContext:
        """Context of Python's own TLS to dial a peer with. Raises as `check` does."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # An intermediate authority may be all that is trusted, as with gRPC.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(["h2"])
        if self.ca is None:
            context.load_default_certs()
        else:
            _read("ca", self.ca)
            try:
                context.load_verify_locations(self.ca)
            except (OSError, ssl.SSLError) as error:
                expected = f"a PEM file of certificates ({_reason(error)})"
                raise InvalidArgument("ca of tls", str(self.ca), expected) from None
        if self.cert is not None and self.key is not None:
            _read("cert", self.cert)
            _read("key", self.key)
            try:
                # A callable, or OpenSSL would ask on the terminal.
                context.load_cert_chain(self.cert, self.key, password=lambda: b"")
            except (OSError, ssl.SSLError) as error:
                pair = f"{self.cert} with {self.key}"
                expected = (
                    "PEM files of a certificate and of its key, without a password "
                    f"({_reason(error)})"
                )
                raise InvalidArgument("cert and key of tls", pair, expected) from None
        return context


def _path(name: str, value: Any) -> Path | None:
    if value is None or isinstance(value, Path):
        return value
    if isinstance(value, str) and value:
        return Path(value)
    raise InvalidArgument(f"{name} of tls", value, "the path of a PEM file, or None")


def _read(name: str, path: Path | str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        expected = f"a file that can be read ({error.strerror})"
        raise InvalidArgument(f"{name} of tls", str(path), expected) from None


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else "none in it, or one with a password"

"""gRPC credentials of TLS files, made again when the files have changed.

Certificates are renewed while a grid runs. A dial looks at the files first; the port of a peer
looks at them at each handshake, in a thread of gRPC. Files that do not fit together, as in
the midst of a renewal, leave what was read before in place until they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import grpc

from grid.errors import InvalidArgument
from grid.tls import TLS
from grid.transport._token_gate import token_metadata

__all__ = ["DialCredentials", "PortCredentials"]

_log = logging.getLogger("grid.transport")

_Stamp = tuple[tuple[int, int, int], ...]


class _Files:
    """The content of the files of a `TLS`, as of the last time that it was whole.

    Args:
        tls: names them.
        call: calls what logs, where logging is allowed.

    Raises:
        InvalidArgument: a file cannot be used at first.
    """

    def __init__(self, tls: TLS, call: Callable[[Callable[[], None]], object]) -> None:
        self._tls = tls
        self._call = call
        self._trouble = ""
        tls.check()
        self._stamp = _stamp(tls)
        self.ca, self.cert, self.key = self._read()

    def renew(self) -> bool:
        """Read the files if they have changed; True if there is new content. Never raises."""
        try:
            stamp = _stamp(self._tls)
            if stamp == self._stamp:
                return False
            found = self._read()
            self._tls.check()
            if _stamp(self._tls) != stamp:  # replaced meanwhile: read again next time
                return False
        except (OSError, InvalidArgument) as error:
            self._report(f"TLS goes on with the files that it had: {error}")
            return False
        self._stamp = stamp
        self.ca, self.cert, self.key = found
        self._trouble = ""
        told = f"TLS has new files: {', '.join(map(str, self._tls.files))}"
        self._call(partial(_log.info, "%s", told))
        return True

    def _report(self, trouble: str) -> None:
        if trouble != self._trouble:  # once, and not at each handshake
            self._trouble = trouble
            self._call(partial(_log.warning, "%s", trouble))

    def _read(self) -> tuple[bytes, bytes, bytes]:
        tls = self._tls
        return _bytes(tls.ca), _bytes(tls.cert), _bytes(tls.key)


class DialCredentials:
    """Credentials of a client that dials peers.

    Args:
        tls: its files and rules.

    Attributes:
        tls: see above.
        options: channel arguments to go with the credentials.
        metadata: of each call, for its token; None without one.

    Raises:
        InvalidArgument: a file cannot be used.
    """

    def __init__(self, tls: TLS) -> None:
        self.tls: TLS = tls
        self.options: tuple[tuple[str, str], ...] = ()
        if tls.server_name is not None:
            self.options = (("grpc.ssl_target_name_override", tls.server_name),)
        self.metadata: tuple[tuple[str, str], ...] | None = token_metadata(tls)
        self._files = _Files(tls, lambda log: log())
        self._made = self._make()

    def current(self) -> grpc.ChannelCredentials:
        """Credentials of the files as they are now."""
        if self._files.renew():
            self._made = self._make()
        return self._made

    def _make(self) -> grpc.ChannelCredentials:
        files = self._files
        return grpc.ssl_channel_credentials(files.ca or None, files.key or None, files.cert or None)


class PortCredentials:
    """Credentials of a peer's port: the certificate for its callers, and the demand for theirs.

    Args:
        tls: its files and rules.

    Attributes:
        made: for `add_secure_port`.

    Raises:
        InvalidArgument: a file cannot be used, or is missing.
    """

    def __init__(self, tls: TLS) -> None:
        tls.check_for_server()
        # Logging in a thread of gRPC would leave Python an object for it.
        self._files = _Files(tls, partial(_call_soon, asyncio.get_running_loop()))
        # The stubs do not know that None stands for "as before".
        renewed = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._renewed)
        self.made = grpc.dynamic_ssl_server_credentials(
            self._make(), renewed, tls.asks_for_certificates
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        return self._make() if self._files.renew() else None

    def _make(self) -> grpc.ServerCertificateConfiguration:
        files = self._files
        return grpc.ssl_server_certificate_configuration(
            [(files.key, files.cert)], files.ca or None
        )


def _call_soon(loop: asyncio.AbstractEventLoop, log: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(log)


def _stamp(tls: TLS) -> _Stamp:
    found = (path.stat() for path in tls.files)
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def _bytes(path: Path | str | None) -> bytes:
    return b"" if path is None else Path(path).read_bytes()

"""Why a dial with TLS failed.

gRPC reports all of it as an unavailable peer, and a refusal by the peer even as a socket that was
closed. So a failed dial is followed by one handshake with Python's own TLS, of which each end
has a name. It is made only after a failure, and sends nothing.
"""

from __future__ import annotations

import asyncio
import enum
import ssl

from grid.errors import (
    ClientNotTrusted,
    InvalidArgument,
    PeerNotTrusted,
    SecurityError,
    TlsNotOffered,
)
from grid.tls import TLS
from grid.transport.addresses import split_address

__all__ = ["Refusal", "diagnose", "judge"]

_PATIENCE = 3.0  # seconds for handshakes and the first bytes after each

# Of OpenSSL: X509_V_ERR_...
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_HOST = frozenset({62, 64})


class Refusal(enum.Enum):
    """The end of a handshake that succeeded on this side."""

    CLOSED = "the peer closed the connection after it"


def judge(end: OSError | Refusal, address: str, tls: TLS) -> SecurityError | None:
    """The error of a handshake's end; None for an end that has nothing to do with trust."""
    if isinstance(end, ssl.SSLCertVerificationError):
        return PeerNotTrusted(address, *_peer_reason(end, tls))
    if end is Refusal.CLOSED or (isinstance(end, ssl.SSLError) and "ALERT" in (end.reason or "")):
        return ClientNotTrusted(address, *_client_reason(tls))
    if isinstance(end, ssl.SSLError):  # what came was no TLS, or nothing
        return TlsNotOffered(address)
    return None


def _peer_reason(error: ssl.SSLCertVerificationError, tls: TLS) -> tuple[str, str]:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired", "renew it on the peer"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet", "compare the clocks of both hosts"
    said = error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_HOST:
        return (
            f"its certificate is for another host ({said})",
            "let the peer advertise a name of its certificate, or give this client server_name",
        )
    return (
        f"its certificate is not signed by an authority of {tls.ca or 'the system'} ({said})",
        "give this client the ca of the peer, or the peer another certificate",
    )


def _client_reason(tls: TLS) -> tuple[str, str]:
    if tls.cert is None:
        return "it asks for a client certificate, and this client has none", "give it cert and key"
    return (
        f"it does not accept the certificate of this client, {tls.cert}",
        "have one that is not expired, signed by an authority that the peer has as ca",
    )


async def diagnose(address: str, tls: TLS, seconds: float = _PATIENCE) -> SecurityError | None:
    """The reason why both sides do not trust each other; None if it is none of that.

    Args:
        address: where to make the handshake.
        tls: that of this side.
        seconds: time for it, of which a few are used at most; without a result in time it is None.
    """
    # A peer that stops in this moment also closes connections; then the second one is refused.
    error = None
    try:
        async with asyncio.timeout(min(seconds, _PATIENCE)):
            for _ in range(2):
                error = await _try(address, tls)
                if not isinstance(error, ClientNotTrusted):
                    break
    except TimeoutError:
        return None
    return error


async def _try(address: str, tls: TLS) -> SecurityError | None:
    writer: asyncio.StreamWriter | None = None
    try:
        context = tls.context()
        host, port = split_address(address)
        name = tls.server_name or host
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=name
        )
        # A peer of gRPC speaks first. One that does not accept this side ends it instead.
        return None if await reader.read(1) else judge(Refusal.CLOSED, address, tls)
    except TimeoutError:  # of the kernel
        return None
    except OSError as error:
        # A refusal may also end as a reset, of a connection that stood.
        cut = writer is not None and not isinstance(error, ssl.SSLError)
        return judge(Refusal.CLOSED if cut else error, address, tls)
    except (InvalidArgument, ValueError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()

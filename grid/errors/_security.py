"""Two sides that do not agree on security. Nothing was sent, and nothing is sent in cleartext."""

from __future__ import annotations

from grid.errors._delivery import NotDelivered

__all__ = [
    "ClientNotTrusted",
    "PeerNotTrusted",
    "SecurityError",
    "TlsNotOffered",
    "TlsRequired",
    "TokenRefused",
]


class SecurityError(NotDelivered):
    """A peer and its caller do not agree on security; no resend helps until one is changed.

    Attributes:
        address: where the peer is dialled.
        reason: what does not fit.
        fix: which side has to change what.
    """

    retryable = False
    address: str
    reason: str
    fix: str

    def __init__(self, address: str, reason: str, fix: str) -> None:
        super().__init__(
            f"peer at {address}: {reason}: {fix}", address=address, reason=reason, fix=fix
        )


class TlsRequired(SecurityError):
    """The peer speaks TLS only, and this client has no TLS: give it `tls`."""

    def __init__(self, address: str, reason: str = "", fix: str = "") -> None:
        super().__init__(
            address,
            reason or "it speaks TLS only, and this client has none",
            fix or "give this client tls=grid.TLS(ca=...), or the variable GRID_TLS_CA",
        )


class TlsNotOffered(SecurityError):
    """This client speaks TLS only, and the peer does not: give the peer `tls`."""

    def __init__(self, address: str, reason: str = "", fix: str = "") -> None:
        super().__init__(
            address,
            reason or "it speaks no TLS, and this client nothing else",
            fix or "start the peer with tls, or give this client allow_cleartext=True",
        )


class PeerNotTrusted(SecurityError):
    """The certificate of the peer is not accepted here: expired, of another host or authority."""


class ClientNotTrusted(SecurityError):
    """The peer does not accept the certificate of this client, or misses one."""


class TokenRefused(SecurityError):
    """The peer asks for a token, and this client has none or another one."""

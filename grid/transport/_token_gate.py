"""The token of a peer: which calls may come in, and what a caller without it is told.

A token is looked at once for a session and once for each single call, before anything of it is
read. The health service is open, since probes of containers and balancers have no token.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health

from grid.errors import TokenRefused
from grid.tls import TLS
from grid.transport.error_codec import encode_error

__all__ = ["TokenGate", "token_metadata", "token_refused"]

_KEY = "authorization"
_OPEN = f"/{health.SERVICE_NAME}/"

_Handler = Any  # a handler of a method, which is generic in the stubs only


def token_metadata(tls: TLS) -> tuple[tuple[str, str], ...] | None:
    """The metadata that a caller shows its token by; None without a token."""
    return None if tls.token is None else ((_KEY, f"Bearer {tls.token}"),)


def token_refused(address: str, tls: TLS | None) -> TokenRefused:
    """The error of a caller whose token a peer does not take."""
    if tls is None or tls.token is None:
        fix = "give it grid.TLS(token=...), or the variable GRID_TOKEN"
        return TokenRefused(address, "it asks for a token, and this client has none", fix)
    reason = "it does not take the token of this client"
    return TokenRefused(address, reason, "give both sides the same token")


class TokenGate(grpc.aio.ServerInterceptor):
    """Lets calls with a token through.

    Args:
        token: the token that callers have to show.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """The handler of a call, or one that refuses it."""
        handler = await continuation(handler_call_details)
        details: Any = handler_call_details
        if details.method.startswith(_OPEN) or handler is None or self._may_pass(details):
            return handler
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(_refuse)
        return grpc.unary_unary_rpc_method_handler(_refuse)

    def _may_pass(self, details: Any) -> bool:
        shown = [value for key, value in details.invocation_metadata or () if key == _KEY]
        given = [one.encode() if isinstance(one, str) else one for one in shown]
        return any(hmac.compare_digest(one, self._expected) for one in given)


async def _refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
    await context.abort(*encode_error(token_refused("", None)))

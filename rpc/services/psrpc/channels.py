"""The channels of the psrpc protocol, with their names on Redis and on NATS. Pure.

On Redis a channel has a name of its own: `Greeter|Greet|REQ`. On NATS the methods of a service
share a subject, `SRV.Greeter`, and a frame names the route within it, `Greet.REQ`; what one
server of several shall get has the subject with `.Q` at its end.
"""

from __future__ import annotations

from rpc.buses.bus import Channel
from rpc.buses.members import sanitized

__all__ = ["bids", "client_stream", "grants", "replies", "requests", "server_stream"]


def requests(service: str, method: str, topic: tuple[str, ...], *, queue: bool) -> Channel:
    """Requests to servers, and updates to subscribers."""
    return _to_servers(service, method, topic, "REQ", queue=queue)


def grants(service: str, method: str, topic: tuple[str, ...]) -> Channel:
    """Grants to servers."""
    return _to_servers(service, method, topic, "RCLAIM")


def server_stream(service: str, method: str, topic: tuple[str, ...]) -> Channel:
    """Streams, to servers."""
    return _to_servers(service, method, topic, "STR")


def replies(service: str, client: str) -> Channel:
    """Answers to a client."""
    return _to_client(service, client, "RES")


def bids(service: str, client: str) -> Channel:
    """Bids to a client."""
    return _to_client(service, client, "CLAIM")


def client_stream(service: str, client: str) -> Channel:
    """Streams, to a client."""
    return _to_client(service, client, "STR")


def _to_servers(
    service: str, method: str, topic: tuple[str, ...], purpose: str, *, queue: bool = False
) -> Channel:
    subject = ["SRV", service, *(sanitized(part) for part in topic if part)]
    if queue:
        subject.append("Q")
    return Channel(
        _name(service, method, topic, purpose),
        scope=service,
        subject=".".join(subject),
        route=f"{method}.{purpose}",
    )


def _to_client(service: str, client: str, purpose: str) -> Channel:
    return Channel(
        "|".join((sanitized(service), sanitized(client), purpose)),
        scope=service,
        subject=f"CLI.{service}.{client}.{purpose}",
    )


def _name(service: str, method: str, topic: tuple[str, ...], purpose: str) -> str:
    # An empty parameter is left out, but one at the end leaves its bar.
    parts = [sanitized(part) for part in topic]
    kept = [part for part in parts if part]
    if parts and not parts[-1]:
        kept.append("")
    return "|".join((sanitized(service), sanitized(method), *kept, purpose))

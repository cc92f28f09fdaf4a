"""The health check of a container: `python -m grid.cli.health [PID...]`.

Exit code 0 if a peer says SERVING on the port that it listens on, wherever that was set:
`--listen`, `GRID_LISTEN` or the application. The processes are those given, by default all
that are to be seen, which in a container are the container's. Linux only, like containers.

A peer with TLS is asked with TLS, and with the certificate of `GRID_TLS_CERT` and `GRID_TLS_KEY`
if it wants one. The certificate that it shows is taken as it is, whatever its name and
authority: nothing but a question goes to it, and it is not reached over a network.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["listening", "main"]

_LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp
_TIMEOUT = 4.0  # seconds for one answer


def main(*pids: str) -> int:
    """The exit code: 0 if a peer serves here."""
    secure_first = bool(os.environ.get("GRID_TLS_CERT"))
    for address in listening(*pids):
        if any(_serves(address, secure=secure) for secure in (secure_first, not secure_first)):
            return 0
    return 1


def _serves(address: str, *, secure: bool) -> bool:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    # A proxy of the environment must not stand between a container and itself.
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    if secure:
        try:
            shown, name = _certificate(address)
            key, cert = _file("GRID_TLS_KEY"), _file("GRID_TLS_CERT")
        except (OSError, ValueError):  # no TLS, or no certificate that is valid now
            return False
        options.append(("grpc.ssl_target_name_override", name))
        credentials = grpc.ssl_channel_credentials(shown, key, cert)
        channel = grpc.secure_channel(address, credentials, options=options)
    else:
        channel = grpc.insecure_channel(address, options=options)
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _certificate(address: str) -> tuple[bytes, str]:
    """The certificate that a port shows, as PEM, and a name in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _handshake(address, context) as connection:
        pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
    # Python tells what is in a certificate only once it trusts it.
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    with _handshake(address, context) as connection:
        names: Any = (connection.getpeercert() or {}).get("subjectAltName", ())
    name = next((str(value) for _, value in names), "localhost")
    return pem.encode(), name.replace("*", "any")


def _handshake(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT)
    return context.wrap_socket(plain)


def _file(variable: str) -> bytes | None:
    path = os.environ.get(variable)
    return Path(path).read_bytes() if path else None


def listening(*pids: str) -> list[str]:
    """The addresses, `host:port`, on which processes listen; by default all processes."""
    sockets = set(_sockets(pids))
    found: dict[int, str] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(Path(table))[1:]:
            local, _, state, *rest = line.split()[1:]
            if state == _LISTEN and rest[5] in sockets:
                host, port = _decode(local)
                found.setdefault(port, f"{host}:{port}")
    return list(found.values())


def _sockets(pids: tuple[str, ...]) -> Iterator[str]:
    """The inodes of the sockets that processes have open."""
    links = (Path("/proc").glob(f"{pid}/fd/*") for pid in pids or ("[0-9]*",))
    for link in itertools.chain.from_iterable(links):
        try:
            target = str(link.readlink())
        except OSError:  # the process has ended, or is another user's
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return [""]


def _decode(text: str) -> tuple[str, int]:
    """Host and port of `0100007F:1F90`; words of four bytes are in the machine's order."""
    number, _, port = text.partition(":")
    raw = bytes.fromhex(number)
    words = (raw[start : start + 4] for start in range(0, len(raw), 4))
    if sys.byteorder == "little":
        words = (word[::-1] for word in words)
    host = ipaddress.ip_address(b"".join(words))
    if host.is_unspecified:
        return ("127.0.0.1" if host.version == 4 else "[::1]"), int(port, 16)
    return (str(host) if host.version == 4 else f"[{host}]"), int(port, 16)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""The health check of a container: `python -m grid.cli.health [PID...]`.

Exit code 0 if a peer says SERVING on the port that it listens on, wherever that was set:
`--listen`, `GRID_LISTEN` or the application. The processes are those given, by default all
that are to be seen, which in a container are the container's. Linux only, like containers.
"""

from __future__ import annotations

import ipaddress
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["listening", "main"]

_LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp
_TIMEOUT = 4.0  # seconds for one answer


def main(*pids: str) -> int:
    """The exit code: 0 if a peer serves here."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    for address in listening(*pids):
        # A proxy of the environment must not stand between a container and itself.
        options = (("grpc.enable_http_proxy", 0),)
        with grpc.insecure_channel(address, options=options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT)
            except grpc.RpcError:
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return 0
    return 1


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

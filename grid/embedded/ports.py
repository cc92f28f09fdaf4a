"""Free ports for what is started again on its port, such as an etcd after a crash.

Of the ports that the system chooses itself, for connections and for port 0, one that
is let go may belong to another process a moment later. So these are chosen from below
that range, as `ip_local_port_range` in https://docs.kernel.org/networking/ip-sysctl.html
and RFC 6335, section 6, have it.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

from grid.numbers import check_count

__all__ = ["free_ports"]

_HOST = "127.0.0.1"
_LOWEST = 10_000
_CHOSEN_BY_THE_SYSTEM = 32_768  # and above, unless Linux says otherwise
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FEW = 2_000  # ports; among fewer, processes would often choose the same
_ATTEMPTS = 100

# Not the shared generator: a seed, as test runs set it, would give processes the same ports.
_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Choose ports of 127.0.0.1 that are free now, all different.

    They are not held: another program may take one before the caller does, but the
    system hands none of them out by itself. Only where it hands out nearly all ports
    are they some of those.

    Args:
        count: the number of ports.

    Raises:
        InvalidArgument: the number is not a whole one, 1 or more.
        OSError: the system has no more sockets or ports.
    """
    check_count("count", count)
    with ExitStack() as held:
        return [_hold(held) for _ in range(count)]


def _hold(held: ExitStack) -> int:
    one = held.enter_context(socket.socket())
    for port in _candidates():
        with suppress(OSError):
            one.bind((_HOST, port))
            return port
    one.bind((_HOST, 0))
    return int(one.getsockname()[1])


def _candidates() -> list[int]:
    ours = range(_LOWEST, _first_of_the_system())
    return _random.sample(ours, _ATTEMPTS) if len(ours) >= _FEW else []


def _first_of_the_system() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(_RANGE.read_text().split()[0])
    return _CHOSEN_BY_THE_SYSTEM

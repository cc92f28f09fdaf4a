"""Forked children: the copy of a process lets go of what its parent goes on with.

A forked child (of `multiprocessing`, `ProcessPoolExecutor`, `os.fork`) has the
memory, the descriptors and the signal handlers of its parent, and none of its
threads. What it has of a grid can only do harm there:

* the wakeup descriptor of the signal handlers belongs to the parent's event
  loop, so a SIGTERM to the child would stop the parent;
* a child that outlives its parent keeps the parent's port, so the parent cannot
  come back, and its connections, so others do not notice that it has died;
* event loops and gRPC have lost their threads: waiting for them never ends.

So handlers and sockets are dropped at the fork, in the child, and what cannot
work there raises `ForkedProcess`. Processes that are started by `spawn`,
`forkserver` or `subprocess` inherit nothing of this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from grid.errors import ForkedProcess

__all__ = ["check_grpc", "in_children", "signals_stay", "sockets_stay"]

_GRPC_POLLER = "_poll_wrapper"  # the thread that gRPC's asyncio API has while it is in use

_callbacks: dict[object, Callable[[], None]] = {}
_signals: set[signal.Signals] = set()
_addresses: set[int | str] = set()  # ports, and paths of unix sockets, of this process
_forking = threading.local()
_grpc_is_broken = False


def check_grpc() -> None:
    """Raise `ForkedProcess` if gRPC cannot work here, because of a fork while it was in use."""
    if _grpc_is_broken:
        raise ForkedProcess


def in_children(callback: Callable[[], None]) -> None:
    """Call a function in each forked child, before anything else runs there."""
    _callbacks[object()] = callback


@contextlib.contextmanager
def signals_stay(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Have forked children handle these signals in the default way, not by this process."""
    added = set(signals) - _signals
    _signals.update(added)
    try:
        yield
    finally:
        _signals.difference_update(added)


@contextlib.contextmanager
def sockets_stay(*addresses: int | str) -> Iterator[None]:
    """Have forked children close the sockets of these ports and unix paths."""
    _addresses.update(addresses)
    try:
        yield
    finally:
        _addresses.difference_update(addresses)


def _before() -> None:
    # Until the child has its own handlers, a signal waits: it would wake up the parent.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _signals) if _signals else None
    _forking.grpc = any(_GRPC_POLLER in one.name for one in threading.enumerate())


def _after_in_parent() -> None:
    if _forking.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_in_child() -> None:
    global _grpc_is_broken
    _grpc_is_broken = _grpc_is_broken or _forking.grpc
    if _signals:
        signal.set_wakeup_fd(-1)
        for one in _signals:
            default = signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL
            signal.signal(one, default)
        _signals.clear()
    if _addresses:
        _drop_sockets()
        _addresses.clear()
    for callback in tuple(_callbacks.values()):
        callback()
    _after_in_parent()


def _drop_sockets() -> None:
    # Their numbers stay taken, by /dev/null: gRPC's copy may still close them.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in _descriptors():
        if _is_ours(descriptor):
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return [int(one.name) for one in Path(folder).iterdir()]
    return []


def _is_ours(descriptor: int) -> bool:
    try:
        seen = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        family, name = seen.family, seen.getsockname()
    except OSError:
        return False
    finally:
        seen.detach()
    if family in (socket.AF_INET, socket.AF_INET6):
        return name[1] in _addresses
    return name in _addresses


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

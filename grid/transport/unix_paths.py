"""Unix sockets between processes that share a host."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import secrets
import socket
import stat
import time
from pathlib import Path

from grid.temporary import temporary_folder

__all__ = ["new_socket_path", "reachable_socket", "restore_folder", "socket_name"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LEFT_OVER = 60.0  # seconds
_LONGEST_PATH = 100  # bytes; the system's own bound is 104 to 108


@functools.cache
def _host_id() -> str:
    # Containers of one host have one boot id, too; whether they also share the
    # socket's directory shows when its path, which is random, exists.
    try:
        text = _BOOT_ID.read_text().strip()
    except OSError:
        text = platform.node()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def new_socket_path(*, trusted: bool = False) -> str | None:
    """A path for a socket that only this user can use; None where there can be none.

    Args:
        trusted: only where the kernel tells each side the user of the other.
    """
    if not hasattr(os, "getuid") or (trusted and not hasattr(socket, "SO_PEERCRED")):
        return None
    try:
        folder = _folder()
    except OSError:  # no folder can be written to
        return None
    path = folder / f"{secrets.token_hex(8)}.sock"
    if len(str(path).encode()) > _LONGEST_PATH:
        return None
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(owner.st_mode) and not owner.st_mode & 0o077
    if owner.st_uid != os.getuid() or not private:
        return None
    _remove_leftovers(folder)
    return str(path)


def restore_folder(path: str) -> bool:
    """Make the folder of a new socket path again, which the last peer in it removed.

    False if it is not the folder of `new_socket_path`.
    """
    folder = Path(path).parent
    if folder != _folder():
        return False
    folder.mkdir(mode=0o700, exist_ok=True)
    return True


def _folder() -> Path:
    return temporary_folder() / f"grid-{os.getuid()}"


def _remove_leftovers(folder: Path) -> None:
    # Those of peers that were killed. A young one may be about to be listened on.
    for path in folder.glob("*.sock"):
        try:
            old = time.time() - path.stat().st_mtime > _LEFT_OVER
            if old and not _is_listened_on(path):
                path.unlink()
        except OSError:
            continue


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its queue is full
            return True
    return True


def socket_name(path: str) -> str:
    """The name of a socket for other peers: its host and its path."""
    return f"{_host_id()}:{path}"


def reachable_socket(name: str) -> str:
    """The path of a socket that was named so, if it is on this host; else empty."""
    host, _, path = name.partition(":")
    return path if path and host == _host_id() and Path(path).exists() else ""

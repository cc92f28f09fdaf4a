"""The data folder of an embedded etcd: one process at a time, and a log that can be explained."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from grid.errors import EmbeddedEtcdFailed

__all__ = ["explain", "lock_folder"]

_LOCK = "etcd.lock"
_GRACE = 8.0  # seconds that an etcd whose owner was killed takes to end
_POLL = 0.05
_TAIL = 1500
_FULL = 1 << 20  # bytes: with less room than this not even an error can be logged


def lock_folder(folder: Path) -> int:
    """Lock a data folder; the descriptor that holds the lock until its last copy is closed.

    Raises:
        EmbeddedEtcdFailed: a process that lives has the lock, or the folder is not writable.
    """
    try:
        held = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedEtcdFailed(f"cannot use {folder}: {error.strerror}") from error
    try:
        _wait_locked(held, folder)
        os.ftruncate(held, 0)
        os.pwrite(held, str(os.getpid()).encode(), 0)
    except OSError as error:
        os.close(held)
        raise EmbeddedEtcdFailed(f"cannot use {folder}: {error.strerror}") from error
    except BaseException:
        os.close(held)
        raise
    return held


def _wait_locked(held: int, folder: Path) -> None:
    give_up_at = time.monotonic() + _GRACE
    while True:
        try:
            return fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        # An owner that is gone has left an etcd that is about to be ended by its guard.
        owner = os.pread(held, 20, 0).decode(errors="replace")
        if time.monotonic() >= give_up_at or _lives(owner):
            raise EmbeddedEtcdFailed(
                f"{folder} is in use by process {owner or '(unknown)'}: end that one, or give "
                "another folder"
            )
        time.sleep(_POLL)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def explain(folder: Path) -> str:
    """The reason for which etcd ended, from its log; the end of the log if it gives none."""
    try:
        text = (folder / "etcd.log").read_text(errors="replace").strip()
        full = "no space left" in text or shutil.disk_usage(folder).free < _FULL
    except OSError as error:
        return f"no log: {error}"
    if full:
        return f"no space left on the device of {folder}: make room, or give another folder"
    reasons = list(dict.fromkeys(_errors(text)))
    if reasons:
        return "; ".join(reasons[-3:])
    return text.partition("\ngoroutine ")[0].strip()[-_TAIL:] or "its log is empty"


def _errors(log: str) -> Iterator[str]:
    for line in log.splitlines():
        try:
            entry = json.loads(line)
            level, said, cause = entry["level"], entry["msg"], entry.get("error", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if level in ("error", "fatal", "panic", "dpanic"):
            yield f"{said}: {cause}" if cause else str(said)

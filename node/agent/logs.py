"""Logs of workers: a file for each, which is rotated and outlives its worker.

The files are `WORKER.log`, and older ones `WORKER.log.1` and so on. Agents may share a folder: each
takes the first of its subfolders `KIND.1`, `KIND.2` and so on that no other one has locked, and
writes and removes files there alone. Of workers that have ended, the latest ones keep their files.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from grid.temporary import temporary_folder
from node.settings import PoolSettings

__all__ = ["FOLDER_VARIABLE", "LogPart", "WorkerLogs"]

FOLDER_VARIABLE = "GRID_WORKER_LOGS"

_log = logging.getLogger("node.agent")

_LOCK = "lock"  # the file that an agent locks in its folder
_CHUNK = 1 << 18  # bytes of a part at most
_TAIL = 1 << 20  # bytes in which the last lines are looked for
_PAST = 10_000  # workers that have ended whose names are known


@dataclass(slots=True)
class LogPart:
    """A part of a worker's log.

    Attributes:
        lines: its lines.
        position: number of bytes that were ever written before its end.
        more: True if there is more behind it now.
    """

    lines: list[str]
    position: int
    more: bool


@dataclass(slots=True)
class _Open:
    file: FileIO
    size: int
    dropped: int  # bytes in files that were removed


class WorkerLogs:
    """Logs of the workers of one kind on one peer.

    Without a folder that can be written to there are no files, which is logged once.

    Args:
        kind: of the workers.
        settings: its `log_...` fields.
    """

    def __init__(self, kind: str, settings: PoolSettings) -> None:
        self._settings = settings
        given = settings.log_folder or os.environ.get(FOLDER_VARIABLE, "")
        self._passing = not given  # files end with the agent
        self._folder = Path(given) if given else _default_folder()
        self._name = re.compile(re.escape(kind) + r"-[0-9a-f]{8}")
        self._kind = kind
        self._own: Path | None = None  # made by the first line
        self._lock: FileIO | None = None
        self._open: dict[str, _Open] = {}
        self._dropped: dict[str, int] = {}  # bytes of workers that have ended, as of `_Open`
        self._past: dict[str, bool] = {}  # latest workers that have ended: whether they printed
        self._broken = False

    def write(self, worker: str, line: str) -> None:
        """Append a line to a worker's log."""
        if self._broken:
            return
        data = line.encode(errors="replace") + b"\n"
        try:
            one = self._open.get(worker)
            if one is None:
                one = self._open[worker] = _Open(self._opened(worker), 0, 0)
            elif one.size + len(data) > self._settings.log_size:
                self._rotate(worker, one)
            one.file.write(data)
            one.size += len(data)
        except OSError as error:
            self._broken = True
            _log.warning("logs of workers are not kept in %s: %s", self._folder, error)

    def ended(self, worker: str) -> None:
        """Close a worker's log; those of the workers that ended first are removed."""
        one = self._open.pop(worker, None)
        self._past[worker] = one is not None
        while len(self._past) > _PAST:
            del self._past[next(iter(self._past))]
        if one is not None:
            one.file.close()
            if one.dropped:
                self._dropped[worker] = one.dropped
            with contextlib.suppress(OSError):
                self._prune()

    def close(self) -> None:
        """Close all files. In the folder of a user they stay."""
        for one in self._open.values():
            one.file.close()
        self._open.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = self._own = None
        if self._passing:
            with contextlib.suppress(OSError):
                for path in self._folder.glob(f"{self._kind}.*"):  # of agents that are gone
                    lock = _locked(path)
                    if lock is not None:
                        with lock:
                            _clear(path)
                self._folder.rmdir()  # unless another agent uses it

    def read(self, worker: str, after: int | None, tail: int) -> LogPart | None:
        """A part of a worker's log; None if there is none.

        Args:
            worker: its name.
            after: position where the part begins; None for the last lines.
            tail: number of the last lines; 0 for all that are kept.
        """
        if not self._name.fullmatch(worker):
            return None
        try:
            files = [(path, path.stat().st_size) for path in self._files(worker)]
            if not files and self._past.get(worker) is False:
                return LogPart([], 0, more=False)
            return self._part(worker, files, after, tail) if files else None
        except OSError:
            return None

    def had(self, worker: str) -> bool:
        """True if a worker of that name has ended here, among the latest."""
        return worker in self._past

    def _part(
        self, worker: str, files: list[tuple[Path, int]], after: int | None, tail: int
    ) -> LogPart:
        one = self._open.get(worker)
        dropped = one.dropped if one is not None else self._dropped.get(worker, 0)
        total = sum(size for _, size in files)
        begin = 0 if after is None else min(max(0, after - dropped), total)
        if after is None and tail:
            begin = max(0, total - _TAIL)
            begin += _begin_of_last(_read(files, begin, total), tail)
        data = _read(files, begin, min(total, begin + _CHUNK))
        if begin + len(data) < total:  # whole lines; one line is shorter than a chunk
            data = data[: data.rfind(b"\n") + 1] or data
        end = begin + len(data)
        return LogPart(data.decode(errors="replace").splitlines(), dropped + end, end < total)

    # -- files -------------------------------------------------------------------------------

    def _prepared(self) -> Path:
        """The folder of this agent's own."""
        if self._own is not None:
            return self._own
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._passing:
            owner = self._folder.lstat()
            private = stat.S_ISDIR(owner.st_mode) and not owner.st_mode & 0o077
            if owner.st_uid != os.getuid() or not private:
                raise PermissionError("it is not a private folder of this user")
        for number in itertools.count(1):
            path = self._folder / f"{self._kind}.{number}"
            path.mkdir(mode=0o700, exist_ok=True)
            self._lock = _locked(path)
            if self._lock is not None:
                self._own = path
                break
        return path

    def _path(self, worker: str, number: int = 0) -> Path:
        return self._prepared() / _name(worker, number)

    def _files(self, worker: str) -> Iterator[Path]:
        """The files that there are, the oldest first; also those of other agents."""
        latest = _name(worker)
        for folder in self._folder.glob(f"{self._kind}.*"):
            if (folder / latest).exists():
                for number in reversed(range(self._settings.log_files)):
                    path = folder / _name(worker, number)
                    if path.exists():
                        yield path
                return

    def _opened(self, worker: str) -> FileIO:
        return self._path(worker).open("ab", buffering=0)

    def _rotate(self, worker: str, one: _Open) -> None:
        last = self._path(worker, self._settings.log_files - 1)
        if last.exists():
            one.dropped += last.stat().st_size
            last.unlink()
        for number in reversed(range(self._settings.log_files - 1)):
            path = self._path(worker, number)
            if path.exists():
                path.rename(self._path(worker, number + 1))
        one.file.close()
        one.file, one.size = self._opened(worker), 0

    def _prune(self) -> None:
        for worker in self._ended()[self._settings.log_workers :]:
            self._remove(worker)

    def _ended(self) -> list[str]:
        """Ended workers with files in the folder of this agent, the one that ended last first."""
        found = [
            (path.stat().st_mtime, path.stem)
            for path in self._prepared().glob("*.log")
            if self._name.fullmatch(path.stem) and path.stem not in self._open
        ]
        return [worker for _, worker in sorted(found, reverse=True)]

    def _remove(self, worker: str) -> None:
        self._dropped.pop(worker, None)
        for path in self._prepared().glob(f"{worker}.log*"):
            path.unlink(missing_ok=True)


def _name(worker: str, number: int = 0) -> str:
    return f"{worker}.log.{number}" if number else f"{worker}.log"


def _locked(folder: Path) -> FileIO | None:
    """The lock of a folder, which holds until it is closed; None if another agent has it."""
    path = folder / _LOCK
    file: FileIO | None = None
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        file = path.open("ab", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.stat(), os.fstat(file.fileno())):  # else it was removed meanwhile
            return file
    if file is not None:
        file.close()
    return None


def _clear(folder: Path) -> None:
    """Remove a folder with the files in it."""
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    folder.rmdir()


def _default_folder() -> Path:
    return temporary_folder() / f"grid-worker-logs-{os.getuid()}"


def _read(files: list[tuple[Path, int]], begin: int, end: int) -> bytes:
    """Bytes of files that lie one behind the other."""
    parts: list[bytes] = []
    at = 0
    for path, size in files:
        if at < end and begin < at + size:
            with path.open("rb") as file:
                file.seek(max(0, begin - at))
                parts.append(file.read(min(end, at + size) - max(begin, at)))
        at += size
    return b"".join(parts)


def _begin_of_last(data: bytes, lines: int) -> int:
    at = len(data)
    for _ in range(lines + 1):  # the first newline from behind ends the last line
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1

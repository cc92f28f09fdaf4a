"""A guard: a process that ends the sessions of workers when the process of their agent is gone.

A worker leads a session of its own, and a process group: all that its jobs start is in it, unless
it leaves it. When a worker has ended its agent ends the rest of the group. A guard does so for an
agent that was killed. Where there is no shell there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess

__all__ = ["SessionGuard", "end_group"]

# Lines are `+ GROUP` and `- GROUP`. At their end, which the kernel sees to however the agent ended,
# the groups that are left are killed.
_SCRIPT = """
groups=
while read -r order group; do
    case $order in
    +) groups="$groups $group" ;;
    -) left=
       for one in $groups; do [ "$one" = "$group" ] || left="$left $one"; done
       groups=$left ;;
    esac
done
for one in $groups; do kill -9 -"$one"; done
"""
_PATIENCE = 2.0  # seconds for the end of the guard


class SessionGuard:
    """The guard of one agent, started with the first group."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def add(self, group: int) -> None:
        """Watch over a group."""
        if self._process is None and not self._closed:
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _SCRIPT, "guard of workers"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is not for it
                )
        self._tell(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """A group has ended."""
        self._tell(f"- {group}\n")

    async def close(self) -> None:
        """End what is left, and the guard."""
        process, self._process, self._closed = self._process, None, True
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, _PATIENCE)

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has been killed
                os.write(self._process.stdin.fileno(), line.encode())


def end_group(group: int) -> None:
    """Kill the processes of a group."""
    with contextlib.suppress(OSError):  # it has none
        os.killpg(group, signal.SIGKILL)

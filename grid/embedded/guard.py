"""Runs a command that must not outlive the process that asked for it.

    python guard.py DIRECTORY COMMAND...

The owner holds the other end of standard input. When that end closes, which the
kernel does however the owner ended, the command is ended and DIRECTORY (if not
empty) removed. SIGTERM ends the command alone. The first line of standard output
is the command's process id. The exit status is the command's.

It keeps the descriptors that it was started with, the lock of the data folder among them, to
its own end, and does not hand them on.

This file is run by path with `-I -S`, so it uses the standard library only.
"""

import os
import select
import shutil
import signal
import subprocess
import sys

_GRACE = 5.0


def main(directory: str, command: list[str]) -> int:
    """Run `command` until it ends, SIGTERM comes, or the owner is gone; its exit status."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    # A handler that is not Python's default is what makes the wake-up descriptor speak.
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    orphaned = _wait(child, wake)
    _end(child)
    if orphaned and directory:
        shutil.rmtree(directory, ignore_errors=True)
    return child.returncode


def _wait(child: "subprocess.Popen[bytes]", wake: int) -> bool:
    """Wait for the end of the command, a signal or the owner's end; True for the last."""
    while child.poll() is None:
        readable, _, _ = select.select([0, wake], [], [])
        if 0 in readable and not os.read(0, 4096):
            return True
        if wake in readable and signal.SIGTERM in os.read(wake, 4096):
            return False
    return False


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

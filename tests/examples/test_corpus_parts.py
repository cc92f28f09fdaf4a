"""Parts of the corpus job: counting, and files that cannot be counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import grid
import node
from examples.corpus.app import KIND, count_file
from examples.corpus.count import Tally, count
from examples.corpus.job import Job, printable
from examples.corpus_pb2 import CountFile


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Twenty small files."""
    files = [tmp_path / f"{number}.py" for number in range(20)]
    for number, file in enumerate(files):
        file.write_text(f"x = {number}\n" * number)
    return files


def directly(files: list[Path]) -> Tally:
    """The files counted without a grid."""
    tally = Tally()
    for file in files:
        tally.add(file, count(file.read_bytes()))
    return tally


def test_tokens_are_counted_and_names_are_told_from_text() -> None:
    counts = count(b"def f(a):  # not a name\n    return a + \"a \\\" a\" + r'''a\na''' + 1.5e3\n")
    assert dict(counts.names) == {"def": 1, "f": 1, "a": 2, "return": 1}
    assert counts.tokens == 15
    assert counts.lines == 3


@pytest.mark.parametrize("text", [b"", b"\xff\xfe = 1", b"'''" * 999, bytes(range(256)) * 9])
def test_any_bytes_can_be_counted(text: bytes) -> None:
    assert count(text).lines == len(text.splitlines())


def test_a_file_is_tallied_once() -> None:
    tally = Tally()
    tally.add(Path("a.py"), count(b"a"))
    with pytest.raises(ValueError, match=r"a\.py was counted twice"):
        tally.add(Path("a.py"), count(b"a"))


def test_a_name_in_no_encoding_can_be_printed() -> None:
    assert printable(Path("n\udce4me.py")) == "n\\udce4me.py"


async def test_files_that_cannot_be_sent_or_read_are_refused(
    grid_servers: Callable[..., grid.Server],
    grid_client: grid.Client,
    sources: list[Path],
    tmp_path: Path,
) -> None:
    big, gone = tmp_path / "big.py", tmp_path / "gone.py"
    big.write_bytes(b"a" * 5_000_000)
    server = grid_servers()
    node.worker(server, KIND, min=1, max=1, warm=0, isolation="task")(count_file)
    await server.start()
    job = Job(grid_client, [big, *sources, gone])
    await job.run()
    assert job.tally.agrees_with(directly(sources))
    assert job.refused == {
        big: "too large: 5,000,000 bytes",
        gone: "No such file or directory",
    }
    assert sum(job.tally.workers.values()) == len(sources)
    assert job.halfway.is_set()
    assert job.resent == 0
    assert job.seconds > 0


async def test_without_workers_it_gives_up(
    grid_client: grid.Client, grid_server: grid.Server, sources: list[Path]
) -> None:
    with pytest.raises(node.UnknownKind, match="'count'"):
        await Job(grid_client, sources).run()


async def test_an_error_of_a_worker_ends_the_job(
    grid_servers: Callable[..., grid.Server], grid_client: grid.Client, sources: list[Path]
) -> None:
    def refuse(file: CountFile) -> None:
        raise ValueError(f"I cannot read {file.path}")

    server = grid_servers()
    node.worker(server, KIND, min=1, max=1, warm=0, isolation="task")(refuse)
    await server.start()
    with pytest.raises(node.JobFailed, match="I cannot read"):
        await Job(grid_client, sources).run()

"""Parts of the corpus job: counting, and asking workers that come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import grid
from examples.corpus.count import Tally, count
from examples.corpus.job import Job, NoProgress, printable
from examples.corpus_pb2 import CountFile
from grid.embedded import Etcd


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


async def test_files_of_a_worker_that_ends_go_to_another(
    grid_server: grid.Server, grid_client: grid.Client, sources: list[Path]
) -> None:
    async def fickle(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            del request  # and end, with more in the mailbox
            return

    grid_server.define("fickle", lambda _: fickle, mailbox=16)
    grid_server.define("worker", lambda _: steady, mailbox=16)
    await grid_client.start_actor("fickle", name="worker-1")
    await grid_client.start_actor("worker", name="worker-2")
    job = Job(grid_client, sources)
    await job.run()
    assert job.resent >= 1
    assert job.tally.agrees_with(directly(sources))
    assert job.tally.workers == {"worker-2": 20}
    assert job.seconds > 0


async def test_a_worker_that_comes_later_is_found(
    grid_server: grid.Server, grid_client: grid.Client, sources: list[Path]
) -> None:
    grid_server.define("worker", lambda _: steady, mailbox=16)
    job = Job(grid_client, sources)
    running = asyncio.create_task(job.run())
    async with grid_client.watch("mailbox") as mailboxes:
        await anext(mailboxes)
        await grid_client.start_actor("worker", name="worker-late")
        await running
    assert job.tally.agrees_with(directly(sources))
    assert job.tally.workers == {"worker-late": 20}


async def test_files_that_cannot_be_sent_or_read_are_refused(
    grid_server: grid.Server,
    grid_client: grid.Client,
    grid_namespace: str,
    grid_etcd: Etcd,
    sources: list[Path],
    tmp_path: Path,
) -> None:
    big, gone = tmp_path / "big.py", tmp_path / "gone.py"
    big.write_bytes(b"a" * 5_000_000)
    grid_server.define("worker", lambda _: steady, mailbox=16)
    await grid_client.start_actor("worker", name="worker-1")
    async with grid.Client(
        grid_namespace, etcd=grid_etcd.endpoint, max_message_bytes=4_000_000
    ) as client:
        job = Job(client, [big, *sources, gone])
        await job.run()
    assert job.tally.agrees_with(directly(sources))
    assert "too large" in job.refused[big]
    assert job.refused[gone] == "No such file or directory"


async def test_without_workers_it_gives_up(
    grid_client: grid.Client, grid_server: grid.Server, sources: list[Path]
) -> None:
    with pytest.raises(NoProgress, match=r"no file was counted for 0\.2 s, and 20 are left"):
        await Job(grid_client, sources, patience=0.2).run()


async def test_what_a_worker_says_is_wrong_ends_the_job(
    grid_server: grid.Server, grid_client: grid.Client, sources: list[Path]
) -> None:
    async def refuses(ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.fail("I cannot read")

    grid_server.define("worker", lambda _: refuses, mailbox=16)
    await grid_client.start_actor("worker", name="worker-1")
    with pytest.raises(grid.errors.RequestFailed, match="I cannot read"):
        await Job(grid_client, sources).run()


async def steady(ctx: grid.ActorContext) -> None:
    """Counts what it is sent."""
    async for request in ctx.mailbox:
        assert isinstance(request.message, CountFile)
        request.respond(count(request.message.text, worker=ctx.name))

"""Output of the peers of `grid dev`, where it can be printed and where it cannot."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from tests.grid.cli.cli_kit import Running


async def test_an_app_of_dev_may_print_at_any_time(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import atexit, grid\nprint('no newline', end='')\natexit.register(print, 'bye')\n"
        "server = grid.Server('noisy')\n"
    )
    with Running("dev", "noisy", "--peers", "1", cwd=tmp_path) as dev:
        await dev.says("1 peer serves")
        dev.signal(signal.SIGINT)
        assert dev.ended() == 0
    assert "noisy" in "".join(dev.err)
    assert any("bye" in line for line in dev.out)


_FLOOD = """
import asyncio, os, sys, grid
server = grid.Server("flood")
@server.actor("leader")
async def leader(ctx):
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    os.write(1, b"\\xc3\\xa9t\\xc3\\xa9\\n")
    for _ in range(5000):
        print("x" * 100, flush=True)
    print("all is printed", file=sys.stderr, flush=True)
    await ctx.stopping.wait()
"""


@pytest.mark.parametrize("variables", [{}, {"PYTHONIOENCODING": "ascii"}])
async def test_peers_of_dev_go_on_where_their_output_cannot_be_printed(
    variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "flood.py").write_text(_FLOOD)
    with (
        (tmp_path / "out").open("wb") as out,
        Running("dev", "flood", "--peers", "1", cwd=tmp_path, env=variables, stdout=out) as dev,
    ):
        await dev.says("1 peer serves")
        if not variables:  # its file takes no more: the same as a full disk
            resource.prlimit(dev.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        (tmp_path / "go").touch()
        await dev.says("all is printed")
        dev.signal(signal.SIGINT)
        assert dev.ended() == 0
    printed = (tmp_path / "out").read_text()
    if variables:
        assert "\\xe9t\\xe9" in printed
        assert printed.count("x" * 100) == 5000
    else:
        assert len(printed) <= 4096
        assert "what peers print is lost from now on: File too large" in "".join(dev.err)

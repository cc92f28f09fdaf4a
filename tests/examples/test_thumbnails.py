"""Thumbnails on a pool: the example as its user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from examples.thumbnails.pictures import make, small
from tests.examples.processes import Command, run

ROOT = Path(__file__).parents[2]


def test_every_thumbnail_is_there_although_a_worker_and_a_peer_are_killed(tmp_path: Path) -> None:
    tmp, folder = tmp_path / "tmp", tmp_path / "pictures"
    tmp.mkdir()
    command = Command("examples.thumbnails", "--folder", str(folder), "--pictures", "40", tmp=tmp)
    assert command.finish(100) == 0, command.output
    assert not command.left()
    output = command.output
    assert re.search(
        r"killed a worker, thumbnail-\w+\nkilled peer-\d, which has the leader", output
    )
    assert "all 40 thumbnails are there, the same as made directly" in output
    assert "\x1b" not in output  # no bar: it is no terminal
    made = sorted(folder.glob("small-*.jpg"))
    assert len(made) == len(list(folder.glob("picture-*"))) == 40
    with Image.open(made[0]) as thumbnail:
        assert thumbnail.size == (160, 120)
    assert set(tmp.iterdir()) <= set(tmp.glob("grid-*"))  # the socket of the killed peer


def test_pictures_of_any_format_become_thumbnails(tmp_path: Path) -> None:
    files = make(tmp_path, 9)
    assert {one.suffix for one in files} == {".jpg", ".png"}
    assert len({small(one.read_bytes()) for one in files}) == 9


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--peers", "1"], "--peers"), (["--pictures", "2"], "--pictures")],
)
def test_bad_arguments_are_refused(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    code, output = run("examples.thumbnails", *arguments, tmp=tmp_path)
    assert code == 2
    assert f"Invalid value for '{complaint}'" in output


def test_without_pillow_it_says_what_to_install() -> None:
    hidden = (
        "import sys; sys.modules['PIL'] = None; "
        "import runpy; runpy.run_module('examples.thumbnails', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == 'error: this example needs Pillow: pip install "actor-grid[examples]"\n'

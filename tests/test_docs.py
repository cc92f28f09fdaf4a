"""Every code block and command of README and docs/ does what the page says.

A page is run from its top to its end in a folder of its own: blocks that begin with
a `file:` comment are written there, other Python blocks are run; commands are run by a
shell, those with `&` at the end stay until the page ends. Blocks marked
`nested` would run the tests inside the tests or change the machine: make only
prints its commands. Blocks marked `docker` are run by the tests of compose.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.embedded.ports import free_ports

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BLOCK = re.compile(
    r"^```(?P<language>\w+)?(?P<marks>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


# Pages of the grid: their code is typed, too. Handlers of machines are bound by their names.
TYPED = (
    "README.md",
    "coming-from.md",
    "command.md",
    "deploy.md",
    "guide.md",
    "machine.md",
    "rpc.md",
    "services-from.md",
    "services.md",
    "testing.md",
    "transport.md",
    "workers.md",
)
URL = "https://github.com/actor-grid/actor-grid/"
FILE = re.compile(r"(?:#|//) file: (\S+)\n")


# Blocks that the tests of containers run, or that need an engine.
NEED_AN_ENGINE = {"docker", "mount", "shop", "update"}


class Reader:
    """A reader who types all blocks of a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.background: list[subprocess.Popen[bytes]] = []
        port = free_ports(1)[0]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GRID_")}
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            "GRID_DEV_ETCD_PORT": str(port),
            "GRID_ETCD": f"127.0.0.1:{port}",
            "COLUMNS": "100",
        }

    def python(self, text: str) -> None:
        if not self.write(text):
            self.run([sys.executable, "-c", text], text)

    def write(self, text: str) -> bool:
        """Write a block that names its file; False for any other."""
        named = FILE.match(text)
        if named:
            (self.folder / named[1]).write_text(text[named.end() :])
        return named is not None

    def shell(self, text: str, *, nested: bool) -> None:
        for line in text.replace("\\\n", " ").splitlines():
            if not line or line.startswith("#"):
                continue
            if nested:
                self._check_nested(line)
            elif line.endswith(" &"):
                self._stay(line.removesuffix(" &"))
            else:
                self.run(["bash", "-c", line], line)

    def run(self, command: list[str], said: str) -> None:
        done = subprocess.run(
            command,
            cwd=ROOT if "make " in said else self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == 0, f"{said}\n{done.stdout}\n{done.stderr}"

    def _stay(self, line: str) -> None:
        log = self.folder / f"background-{len(self.background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                shlex.split(line), cwd=self.folder, env=self.environment, stderr=output
            )
        self.background.append(process)
        give_up = time.monotonic() + 30
        while not re.search(rb"Ctrl-C ends|peer \S+ serves", log.read_bytes()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, f"{line} did not get ready:\n{log.read_text()}"
            time.sleep(0.05)

    def _check_nested(self, line: str) -> None:
        command = line.split()
        if command[0] == "make":
            self.run(["bash", "-c", f"make --dry-run {' '.join(command[1:])}"], line)
        else:
            extras = re.fullmatch(r'pip install "actor-grid\[(\w+)\]"', line)
            assert extras, line
            assert extras[1] in PROJECT["optional-dependencies"]

    def leave(self) -> None:
        for process in self.background:
            process.send_signal(signal.SIGINT)
        for process in self.background:
            assert process.wait(30) == 0


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.leave()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, reader: Reader) -> None:
    for block in BLOCK.finditer(page.read_text()):
        marks = block["marks"].split()
        if "there" in marks:
            continue  # code of another system
        if block["language"] == "python":
            reader.python(block["text"])
        elif block["language"] == "proto":
            assert reader.write(block["text"])
        elif block["language"] in {"sh", "console", "bash"} and not NEED_AN_ENGINE & set(marks):
            reader.shell(block["text"], nested="nested" in marks)
        else:
            assert block["language"] in {"text", "sh", "json", "dockerfile", "yaml"}, block[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", TYPED)
def test_the_code_of_a_page_is_typed(name: str, tmp_path: Path) -> None:
    page = next(page for page in PAGES if page.name == name)
    reader = Reader(tmp_path)
    for number, block in enumerate(BLOCK.finditer(page.read_text())):
        text = block["text"]
        if "there" in block["marks"].split():
            continue
        if block["language"] in {"python", "proto"} and not reader.write(text):
            (tmp_path / f"block_{number}.py").write_text(text)
        for line in text.splitlines():
            if "grpc_tools.protoc" in line:
                reader.run(["bash", "-c", line], line)
    cache = ROOT / ".mypy_cache" / "pages"
    code = [str(path) for path in tmp_path.glob("*.py") if not path.stem.endswith("_pb2")]
    reader.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), *code], name)


def test_the_quickstart_is_short() -> None:
    blocks = [one for one in BLOCK.finditer(PAGES[0].read_text()) if one["language"] == "python"]
    assert len(blocks[0]["text"].splitlines()) <= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if target.startswith(URL):
            assert (ROOT / target.removeprefix(f"{URL}blob/main/")).exists(), target
        elif page.name == "README.md":
            # An index shows this page without the others.
            assert target.startswith("https://"), target
        else:
            assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_readme_links_each_page() -> None:
    text = PAGES[0].read_text()
    assert not [page.name for page in PAGES[1:] if f"{URL}blob/main/docs/{page.name})" not in text]


def test_the_readme_installs_before_it_starts() -> None:
    headings = re.findall(r"^## (.*)$", PAGES[0].read_text(), re.MULTILINE)
    assert headings[:2] == ["Install", "Quickstart"]


def test_promises_name_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text()))
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert not {name for name in named if f"def {name}(" not in sources}

"""`python -m bench.instructions BEFORE [CASE...]`: instructions of hot paths, here and in BEFORE.

On a busy machine times vary more than what a change costs; the number of instructions that the
processor executes does not. Valgrind's callgrind counts those of the main thread. Each case runs
twice, with few and many rounds, and the difference counts, so that start-up does not matter.

BEFORE is another checkout of this repository with its virtual environment (`make install`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from grid.embedded import Etcd

__all__ = ["main"]

_FEW, _MANY = 200, 700  # rounds
_CASES = {
    "mutation": "a mutation without handlers",
    "handlers": "a mutation with two handlers",
    "own handlers": "a mutation with two handlers of the machine's class",
    "async handler": "a mutation with an async handler",
    "request, local": "a request inside one process",
    "send, local": "a message inside one process",
    "request, session": "a request over a session, both sides",
    "send, session": "a message over a session, both sides",
    "service, local": "a call of a service inside one process",
    "service, session": "a call of a service over a session, both sides",
    "style, local": "a request to an actor of handlers inside one process",
    "style, session": "a request to an actor of handlers over a session, both sides",
    "remote, local": "a mutation of a remote machine inside one process",
    "remote, session": "a mutation of a remote machine over a session, both sides",
}
# Cases beside the case without what they measure, in one checkout.
_BESIDE = {"style, local": "request, local", "style, session": "request, session"}


def main() -> None:
    """Parse the command line, count, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path, metavar="BEFORE", help="a checkout to compare with")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(_CASES))
    given = parser.parse_args()
    for case in given.cases:
        if case not in _CASES:
            parser.error(f"unknown case {case!r}; the cases are: {', '.join(_CASES)}")
    before = given.before.resolve()
    if not _python(before).exists():
        parser.error(f"{before} has no .venv: run `make install` there")
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed")
    asyncio.run(_compare(before, given.cases or list(_CASES)))


async def _compare(before: Path, cases: list[str]) -> None:
    async with Etcd() as etcd:
        here: dict[str, float] = {}
        for case in cases:
            old = await asyncio.to_thread(_each, before, case, etcd.endpoint)
            new = here[case] = await asyncio.to_thread(_each, Path.cwd(), case, etcd.endpoint)
            print(f"{_CASES[case]:65} {old:9,.0f} {new:9,.0f}  {new / old:.3f}", flush=True)
        for case, plain in _BESIDE.items():
            if case in here and plain in here:
                print(f"{_CASES[case]}, beside one with a loop: {here[case] / here[plain]:.3f}")


def _each(tree: Path, case: str, etcd: str) -> float:
    few, many = (_counted(tree, case, rounds, etcd) for rounds in (_FEW, _MANY))
    return (many - few) / (_MANY - _FEW)


def _counted(tree: Path, case: str, rounds: int, etcd: str) -> int:
    script = Path(__file__).with_name("instructed.py")
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        ended = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--separate-threads=yes"),
                f"--callgrind-out-file={out}",
                *(_python(tree), "-P", script, case, str(rounds), etcd, namespace),
            ],
            cwd=tree,
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        main_thread = Path(f"{out}-01")
        if ended.returncode or not main_thread.exists():
            sys.exit(f"{case} failed in {tree}:\n{ended.stderr[-2000:]}")
        found = re.search(r"^(?:totals|summary): (\d+)", main_thread.read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"valgrind counted nothing for {case} in {tree}")
    return int(found[1])


def _python(tree: Path) -> Path:
    return tree / ".venv" / "bin" / "python"


if __name__ == "__main__":
    main()

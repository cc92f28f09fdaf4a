"""`python -m bench`: measure, print the tables, keep them as JSON if asked."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.model import NORMAL, QUICK, TRANSPORT_PARTS, Progress, Row, Size

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]

SUBJECTS = (
    *("request", "names", "failover", "local", "actors", "transport", "machine", "rpc"),
    *("workers", "healing", "services"),
)

# What the `grid` command sets, too: gRPC's older poller saves a thread's wake-up
# a call. It counts for both sides of every comparison.
_EXPERIMENTS = "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"

_Measure = Callable[[Size, Progress], Awaitable[list[Row]]]


def main() -> None:
    """Parse the command line, measure, report."""
    given = _arguments()
    os.environ.setdefault("GRPC_EXPERIMENTS", _EXPERIMENTS)  # before grpc is imported
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from rich.console import Console

    from bench.report import as_json, print_tables, write_docs
    from bench.running import run

    rows: list[Row] = []
    progress = _progress(Console(stderr=True))
    for subject in given.subjects or SUBJECTS:
        measure: _Measure = importlib.import_module(f"bench.{subject}").measure
        rows += run(_awaited(measure(_size(given), progress)))
    progress("")
    print_tables(rows, Console(width=None if sys.stdout.isatty() else 140))
    if given.json is not None:
        given.json.write_text(json.dumps(as_json(rows), indent=1) + "\n")
    if given.docs is not None:
        write_docs(rows, given.docs)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return count


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--full", action="store_true", help="also the default lease of 10 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here")
    parser.add_argument("--docs", type=Path, metavar="DIR", help="renew the tables and pictures")
    parser.add_argument("--rounds", type=_count, metavar="N", help="how often each is measured")
    parser.add_argument("--seconds", type=float, metavar="S", help="of one throughput round")
    parser.add_argument("--names", type=_count, metavar="N", help="mailboxes to open")
    parser.add_argument("--actors", type=_count, metavar="N", help="idle actors to weigh")
    parser.add_argument("--machines", type=_count, metavar="N", help="idle state machines to weigh")
    parser.add_argument("--kills", type=_count, metavar="N", help="leaders to kill, and to stop")
    parser.add_argument("--mib", type=_count, metavar="N", help="size of the large payload")
    parser.add_argument(
        "--parts",
        type=_list,
        metavar="PART,...",
        help=f"of transport: {', '.join(TRANSPORT_PARTS)}",
    )
    parser.add_argument(
        "--peers",
        type=_list,
        metavar="PEER,...",
        help="modules of bench.peers or bench.machines; '' for none",
    )
    given = parser.parse_args()
    for subject in given.subjects:
        if subject not in SUBJECTS:
            parser.error(f"there is no {subject!r}; choose from {', '.join(SUBJECTS)}")
    return given


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _size(given: argparse.Namespace) -> Size:
    size = QUICK if given.quick else NORMAL
    names = {field.name for field in fields(Size)} & vars(given).keys()
    wanted = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    if given.full:
        wanted["leases"] = (2.0, 10.0)
    return replace(size, **wanted)


async def _awaited(rows: Awaitable[list[Row]]) -> list[Row]:
    return await rows


def _progress(console: Console) -> Progress:
    """Reports progress on a line of its own, if stderr is a terminal."""
    if not console.is_terminal:
        return lambda _: None
    return lambda text: console.print(f"\r\x1b[2K{text}", end="", highlight=False, markup=False)


if __name__ == "__main__":
    main()

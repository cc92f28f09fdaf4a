"""The command of the recordings: `python -m tests.machine.original record|compare`."""

import argparse
import logging
import multiprocessing
import sys
import tempfile
from pathlib import Path

from tests.machine.original.generate import Size, scenarios
from tests.machine.original.golang import Driver, build
from tests.machine.original.records import DATA, Record, record, save
from tests.machine.original.replay import differences

# The mix of the file in the repository: mostly small scenarios, some of each other size.
MIX = (
    (Size(), 0.85),
    (Size(states=(5, 8), steps=(4, 9)), 0.1),
    (Size(states=(2, 4), steps=(15, 30)), 0.05),
)

PLAIN_RUNS = 20  # of the driver without pins, which may go either way each time


def recorded(
    pinned: Driver, plain: Driver | None, seed: int, count: int, size: Size
) -> list[Record]:
    """Scenarios as the Go implementation plays them; unstable if that differs without pins."""
    made = list(scenarios(seed, count, size))
    played = pinned.record(made)
    failed = [
        (one, how["failure"]) for one, how in zip(made, played, strict=True) if "failure" in how
    ]
    if failed:
        sys.exit(f"the driver fails: {failed[0]}")
    runs = [plain.record(made) for _ in range(PLAIN_RUNS)] if plain else []
    return [
        record(one, played[at], all(run[at] == played[at] for run in runs))
        for at, one in enumerate(made)
    ]


def _record(options: argparse.Namespace, pinned: Driver, plain: Driver) -> int:
    records = [
        one
        for number, (size, share) in enumerate(MIX)
        for one in recorded(
            pinned, plain, options.seed + number, round(options.count * share), size
        )
    ]
    save(options.out, records)
    touched = sum(bool(one.deviation) for one in records)
    unstable = sum(not one.stable for one in records)
    size = options.out.stat().st_size
    print(
        f"{len(records)} scenarios, {touched} meet a deviation, {unstable} unstable, {size} bytes"
    )
    return 0


def _both(one: Record) -> str:
    # Twice without a tracer: the second time a shared memo of moves is warm.
    runs = (differences(one, traced=traced) for traced in (True, False, False))
    return next((text for text in runs if text), "")


def _compare(options: argparse.Namespace, pinned: Driver, plain: Driver) -> int:
    logging.disable(logging.CRITICAL)  # what handlers raise
    size = Size(states=tuple(options.states), steps=tuple(options.steps))
    records = recorded(pinned, None, options.seed, options.count, size)
    with multiprocessing.Pool() as pool:
        found = [text for text in pool.imap(_both, records, 100) if text]
    for text in found[: options.show]:
        print(text, end="\n\n")
    print(f"{len(records)} scenarios, {len(found)} differ")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.machine.original")
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--folder", type=Path, help="where to build the driver; kept if given")
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--states", type=int, nargs=2, default=(2, 6))
    parser.add_argument("--steps", type=int, nargs=2, default=(3, 8))
    parser.add_argument("--show", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pinned, plain = build(options.folder or Path(folder))
        task = _record if options.what == "record" else _compare
        return task(options, pinned, plain)


if __name__ == "__main__":
    sys.exit(main())

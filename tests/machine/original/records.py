"""The recordings as kept in the repository: one JSON list per line, compressed."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["DATA", "Record", "Step", "kept", "load", "record", "save"]

DATA = Path(__file__).parents[1] / "data" / "recorded.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation and what it came to; only `operation` for the one that meets a deviation."""

    operation: str
    result: str = ""
    active: str = ""
    ticks: str = ""
    calls: str = ""
    nested: tuple[str, ...] = ()
    queue_tick: int = 0
    error: str = ""
    transitions: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A scenario and its steps."""

    family: str
    schema: str
    names: str
    bind: str
    groups: int
    limit: int
    handlers: dict[str, dict[str, Any]]
    deviation: int
    stable: bool
    steps: tuple[Step, ...] = field(default=())


def record(scenario: dict[str, Any], made: dict[str, Any], stable: bool) -> Record:
    """A scenario and what the driver said about it."""
    operations: list[str] = scenario["steps"]
    steps = [
        Step(
            operation,
            one["r"],
            " ".join(one["a"]),
            " ".join(map(str, one["t"])),
            " ".join(one["c"]),
            tuple(one["n"]),
            one["q"],
            one["e"],
            " ".join(one["x"]),
        )
        for operation, one in zip(operations, made["steps"] or (), strict=False)
    ]
    if made["deviation"]:
        steps.append(Step(operations[len(steps)]))
    return Record(
        scenario["family"],
        scenario["schema"],
        " ".join(made["names"]),
        scenario["bind"],
        scenario.get("groups", 1),
        scenario.get("limit", 0),
        scenario.get("handlers", {}),
        made["deviation"],
        stable,
        tuple(steps),
    )


def kept(one: Record) -> list[object]:
    """Content of the file: the fields in order, without what is empty at the end."""
    steps = [_row([*_fields(step)]) for step in one.steps]
    head = [getattr(one, name) for name in Record.__dataclass_fields__ if name != "steps"]
    return [*head, steps]


def _fields(step: Step) -> Iterator[object]:
    for name in Step.__dataclass_fields__:
        yield getattr(step, name)


def _row(values: list[object]) -> list[object]:
    while values and not values[-1]:
        values.pop()
    return values


def save(path: Path, records: Iterable[Record]) -> None:
    """Write a file; the same records give the same bytes."""
    text = "".join(json.dumps(kept(one), separators=(",", ":")) + "\n" for one in records)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as packed:
        packed.write(text.encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def load(path: Path = DATA) -> list[Record]:
    """Read a file."""
    with gzip.open(path, "rt") as lines:
        return [_record(json.loads(line)) for line in lines]


def _record(row: list[Any]) -> Record:
    *head, steps = row
    head.append(tuple(_step(*values) for values in steps))
    return Record(*head)


def _step(
    operation: str,
    result: str = "",
    active: str = "",
    ticks: str = "",
    calls: str = "",
    nested: Iterable[str] = (),
    *rest: Any,
) -> Step:
    return Step(operation, result, active, ticks, calls, tuple(nested), *rest)

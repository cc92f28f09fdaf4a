"""The lines of a recording: how they are written, and read again."""

from __future__ import annotations

import builtins
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine.core.mutation import DropReason, Mutation, Source, values_of
from machine.core.records import record_of
from machine.errors import InvalidArgument
from machine.plain import NotPlain, plain
from machine.rules.kinds import Kind
from machine.schema.schema import Schema
from machine.texts import repr_of, text_of

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.transition import Transition

__all__ = ["RecordedError", "RecordedMutation", "Recording"]

VERSION = 1
_DEEPEST = 32  # containers in each other


class RecordedError(Exception):
    """An error whose class is not known in a replay; `name` is that of the class."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class RecordedMutation:
    """A mutation that came from outside.

    Attributes:
        line: of the file.
        kind, called, args, source, check: of the mutation.
        first: it was put before all that was queued.
        tick: of the queue, at which it ran or would run; 0 if it was put to the front.
        after: None if it ran at once, else how many events (see `machine.recording.replay`)
            there had been when it was queued.
    """

    line: int
    kind: Kind
    called: tuple[str, ...]
    args: Any
    source: Source | None
    check: bool
    first: bool
    tick: int
    after: int | None

    def __str__(self) -> str:
        return f"[{self.kind}] {', '.join(self.called)}"


@dataclass(slots=True)
class Recording:
    """A file that was read.

    Attributes:
        path: of the file.
        header: its first line.
        schema: of the machine.
        entries: all other lines, with their numbers, in the order of events.
        complete: False if the recording was cut off, and never closed.
        waiting: the number of mutations that had not run when it was closed.
    """

    path: str
    header: dict[str, Any]
    schema: Schema
    entries: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    complete: bool = False
    waiting: int = 0


def mutation_line(mutation: Mutation, tick: int, after: int | None) -> dict[str, Any]:
    """The line of a mutation; for `tick` and `after` see `RecordedMutation`."""
    line: dict[str, Any] = {"mutation": mutation.kind.value, "called": list(mutation.called)}
    if mutation.args is not None:
        line["args"] = _packed_args(mutation.args)
    source = mutation.source
    if source is not None:
        line["source"] = [source.machine, source.transition, source.time]
    if mutation.check:
        line["check"] = True
    if after is not None and not tick and not mutation.check:
        line["first"] = True
    if tick:
        line["tick"] = tick
    if after is not None:
        line["after"] = after
    return line


def mutation_of(line: int, data: Mapping[str, Any]) -> RecordedMutation:
    """The mutation of a line that `mutation_line` wrote."""
    source = data.get("source")
    return RecordedMutation(
        line,
        Kind(data["mutation"]),
        tuple(data["called"]),
        _unpacked(data["args"]) if "args" in data else None,
        None if source is None else Source(*source),
        bool(data.get("check")),
        bool(data.get("first")),
        int(data.get("tick", 0)),
        data.get("after"),
    )


def is_nested(machine: Machine[Any], mutation: Mutation) -> bool:
    """True if a mutation that is being queued comes from the running transition itself."""
    if mutation.auto:
        return True
    running = machine.transition
    return mutation.cause is not None and running is not None and not running.completed


def is_nested_duplicate(machine: Machine[Any], reason: DropReason) -> bool:
    """True if a dropped mutation of the running transition was queued already."""
    return reason is DropReason.DUPLICATE and machine.in_handler


def outcome_of(tx: Transition, number: int) -> dict[str, Any]:
    """The line of a transition that has ended."""
    record = record_of(tx)
    line: dict[str, Any] = {
        "transition": number,
        "kind": record.kind.value,
        "called": list(record.called),
        "accepted": record.accepted,
    }
    if record.auto:
        line["auto"] = True
    if record.check:
        line["check"] = True
    line["ticks"] = {change.name: change.tick for change in record.changes}
    if tx.error is not None:
        line["error"] = type(tx.error).__name__
        line["text"] = text_of(tx.error)
    return line


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a file. A last line that was cut off is left out.

    Raises:
        InvalidArgument: it is no recording, or of another version.
        OSError: it cannot be read.
    """
    name = os.fspath(path)
    texts = Path(path).read_text(encoding="utf-8").split("\n")
    entries: list[tuple[int, dict[str, Any]]] = []
    for number, text in enumerate(texts, 1):
        if not text:
            continue
        try:
            data = json.loads(text)
        except ValueError:
            if number == len(texts):
                break
            raise InvalidArgument(f"{name}, line {number}: this is no JSON") from None
        if not isinstance(data, dict):
            raise InvalidArgument(f"{name}, line {number}: this is no line of a recording")
        entries.append((number, data))
    header = entries.pop(0)[1] if entries else {}
    if header.get("recording") != VERSION:
        raise InvalidArgument(f"{name} is no recording of a machine, of version {VERSION}")
    complete = bool(entries) and "end" in entries[-1][1]
    waiting = entries.pop()[1].get("waiting", 0) if complete else 0
    schema = Schema.from_dict(header["schema"], place=name)
    return Recording(name, header, schema, entries, complete, waiting)


# -- arguments ---------------------------------------------------------------------------


def _packed_args(args: object, depth: int = 0) -> dict[str, Any]:
    values = values_of(args)
    packed = _packed_mapping(values, depth)
    if dataclasses.is_dataclass(args):
        kind = type(args)
        return {"$type": f"{kind.__module__}:{kind.__qualname__}", "$values": packed}
    return packed


def _packed_mapping(values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    pairs = [(_packed(key, depth + 1), _packed(one, depth + 1)) for key, one in values.items()]
    # Keys with a $ are words of this format, so a mapping that has some is written as pairs.
    if all(isinstance(key, str) and not key.startswith("$") for key in values):
        return dict(pairs)
    return {"$pairs": [[key, one] for key, one in pairs]}


def _packed(value: object, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return {"$repr": f"<{type(value).__name__}, nested too deeply>"}
    if isinstance(value, Enum):
        return _packed(value.value, depth + 1)
    if isinstance(value, BaseException):
        kind = type(value)
        return {"$error": f"{kind.__module__}:{kind.__qualname__}", "$text": text_of(value)}
    if type(value) is tuple:
        return {"$tuple": [_packed(one, depth + 1) for one in value]}
    if isinstance(value, list | tuple):
        return [_packed(one, depth + 1) for one in value]
    if isinstance(value, Mapping):
        return _packed_mapping(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _packed_args(value, depth)
    try:
        return plain(value)
    except NotPlain:
        return {"$repr": repr_of(value)}


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$pairs" in value:
        return _dict_of([[_unpacked(key), _unpacked(one)] for key, one in value["$pairs"]])
    if "$tuple" in value:
        return tuple(_unpacked(one) for one in value["$tuple"])
    if "$error" in value:
        return _error_of(value["$error"], value["$text"])
    if "$repr" in value:
        return value["$repr"]
    if "$values" in value:
        values: dict[str, Any] = _unpacked(value["$values"])
        return _instance_of(_found(value["$type"]), values)
    return {key: _unpacked(one) for key, one in value.items()}


def _instance_of(kind: type | None, values: dict[str, Any]) -> Any:
    """An instance of a dataclass; its fields by name if there is none, or if it is another now."""
    if kind is None or not dataclasses.is_dataclass(kind):
        return values
    make: Any = kind
    given = {field.name for field in dataclasses.fields(kind) if field.init}
    try:
        return make(**{name: value for name, value in values.items() if name in given})
    except Exception:  # noqa: BLE001 - the class is the user's
        return values


def _dict_of(pairs: list[list[Any]]) -> dict[Any, Any]:
    try:
        return dict(pairs)
    except TypeError:  # a key that came back as something else, such as a list
        return {repr(key): one for key, one in pairs}


def _found(name: str) -> Any:
    """A class, if its module has been imported already."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _error_of(name: str, text: str) -> BaseException:
    module, _, path = name.partition(":")
    kind = getattr(builtins, path, None) if module == "builtins" else _found(name)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except Exception:  # noqa: BLE001 - it wants other arguments
            return RecordedError(path, text)
    return RecordedError(path, text)

"""The tracer that records a machine."""

from __future__ import annotations

import json
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from machine.core.tracer import Tracer
from machine.errors import InvalidArgument
from machine.recording.format import (
    VERSION,
    is_nested,
    is_nested_duplicate,
    mutation_line,
    outcome_of,
)

if TYPE_CHECKING:
    from machine.core.machine import Machine
    from machine.core.mutation import DropReason, Mutation
    from machine.core.transition import Transition
    from machine.schema.schema import Schema

__all__ = ["Recorder"]


class Recorder(Tracer):
    """A tracer that writes the mutations of one machine to a file of JSON lines.

    Bind it while the machine is idle. Arguments are kept as far as JSON can
    hold them, with tuples, dataclasses and errors; of others only the `repr`,
    which handlers get in a replay. Lines are written when the queue is empty.
    An error of the disk is raised by `close`.

    Args:
        path: of the file, which is overwritten.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)
        file = Path(path).open("w", encoding="utf-8", newline="\n")  # noqa: SIM115 - kept open
        self._file: TextIO | None = file
        self._lock = threading.Lock()
        self._machine = ""
        self._of: weakref.ref[Machine[Any]] | None = None
        self._ticks: list[int] = []
        self._transitions = 0
        self._events = 0
        self._queued: dict[int, tuple[Mutation, int]] = {}  # by handlers, with the event of it
        self._waiting: dict[int, Mutation] = {}  # asked for from outside, and not run yet
        self._early: dict[int, Mutation] = {}  # run before this was told that they wait

    # -- listening -----------------------------------------------------------------------

    def machine_init(self, machine: Machine[Any]) -> None:
        """Write the header.

        Raises:
            InvalidArgument: this is the recorder of another machine.
        """
        if self._machine:
            raise InvalidArgument(
                f"this is the recorder of {self._machine!r}", hint="Make one for each machine."
            )
        self._machine = machine.id
        self._of = weakref.ref(machine)
        self._ticks = list(machine.current_ticks)
        options = machine.options
        self._write(
            {
                "recording": VERSION,
                "machine": machine.id,
                "schema": machine.schema.to_dict(),
                "ticks": self._ticks,
                "active": list(machine.active),
                "queue_tick": machine.queue_tick,
                "options": {name: getattr(options, name) for name in ("queue_limit", "catch")},
            }
        )

    def schema_changed(self, machine: Machine[Any], old: Schema) -> None:
        """Write the new schema."""
        if not self._is_of(machine):
            return
        with self._lock:
            self._ticks = list(machine.current_ticks)
            self._write({"schema": machine.schema.to_dict()})

    def mutation_queued(self, machine: Machine[Any], mutation: Mutation) -> None:
        """Write it, if it is from outside."""
        if not self._is_of(machine):
            return
        with self._lock:
            if is_nested(machine, mutation):
                self._events += 1
                if mutation.queue_tick:
                    self._queued[id(mutation)] = mutation, self._events
            elif self._early.pop(id(mutation), None) is None:
                self._waiting[id(mutation)] = mutation
                self._write(mutation_line(mutation, mutation.queue_tick, self._events))

    def mutation_dropped(
        self, machine: Machine[Any], mutation: Mutation, reason: DropReason
    ) -> None:
        """Count a mutation of a handler that was queued already."""
        if self._is_of(machine) and is_nested_duplicate(machine, reason):
            with self._lock:
                self._events += 1

    def transition_init(self, tx: Transition) -> None:
        """Write its mutation, if it is from outside and did not wait."""
        mutation = tx.mutation
        if not self._is_of(tx.machine):
            return
        with self._lock:
            ticks = list(tx.ticks_before)
            if ticks != self._ticks:  # it was imported
                self._write({"state": ticks, "active": list(tx.before)})
            outside = not mutation.auto and mutation.cause is None
            if outside and self._waiting.pop(id(mutation), None) is None:
                if mutation.result is None:
                    self._write(mutation_line(mutation, tx.machine.queue_tick, None))
                else:
                    self._early[id(mutation)] = mutation
                    self._write(mutation_line(mutation, mutation.queue_tick, self._events))
            self._events += 1
            self._transitions += 1

    def transition_end(self, tx: Transition) -> None:
        """Write its outcome."""
        if not self._transitions or not self._is_of(tx.machine):
            return  # this was bound in the midst of it, or refused
        mutation = tx.mutation
        with self._lock:
            self._ticks = list(tx.ticks_after)
            line = outcome_of(tx, self._transitions)
            queued, event = self._queued.pop(id(mutation), (None, 0))
            if queued is mutation:
                line["queued"] = [mutation.queue_tick, event]
            self._write(line)

    def queue_end(self, machine: Machine[Any]) -> None:
        """Bring the file up to date."""
        with self._lock:
            if self._file is not None:
                self._file.flush()

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """The recording is complete."""
        if self._is_of(machine):
            self.close()

    def _is_of(self, machine: Machine[Any]) -> bool:
        """Return True for the machine it began with; it stays bound to others, which it refused."""
        return self._of is not None and self._of() is machine

    # -- writing -------------------------------------------------------------------------

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None and self._machine:
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Complete the recording and close the file; later mutations are not recorded.

        Raises:
            OSError: it could not be written.
        """
        with self._lock:
            if self._file is not None:
                self._write({"end": True, "waiting": len(self._waiting)})
                file, self._file = self._file, None
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""A machine's state as a value, its schema while it lives, and its end."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from machine.core.base import binding, check_callable, zeros
from machine.core.queue import Queue
from machine.errors import ImportMismatch, InvalidArgument, MachineDisposed, SchemaError
from machine.rules.kinds import Kind
from machine.rules.resolution import Compiled, compiled_of
from machine.schema.schema import Schema, as_schema

__all__ = ["Life", "Snapshot"]

_log = logging.getLogger("machine")
_RESTORED = "MachineRestored"
_START = "Start"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a machine without its behaviour; can be pickled, or written as JSON.

    Attributes:
        id: the machine's.
        names: the states in their official order.
        ticks: of these states.
        queue_tick: how many mutations had had their turn.
        machine_tick: how often the machine had been restored.
    """

    id: str
    names: tuple[str, ...]
    ticks: tuple[int, ...]
    queue_tick: int = 1
    machine_tick: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.id,
            "names": list(self.names),
            "ticks": list(self.ticks),
            "queue_tick": self.queue_tick,
            "machine_tick": self.machine_tick,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Snapshot:
        """What `to_dict` gave.

        Raises:
            InvalidArgument: it is something else.
        """
        try:
            names, ticks = tuple(data["names"]), tuple(data["ticks"])
            rest = int(data.get("queue_tick", 1)), int(data.get("machine_tick", 0))
            snapshot = cls(str(data["id"]), names, ticks, *rest)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"this is no snapshot of a machine: {error!r}") from None
        good = all(isinstance(tick, int) and tick >= 0 for tick in ticks)
        if not good or len(names) != len(ticks) or len(set(names)) != len(names):
            raise InvalidArgument("this is no snapshot: it needs one tick from 0 for each state")
        return snapshot


class Life(Queue):
    """Export and import, changes of the schema, and dispose."""

    __slots__ = ()

    # -- state as a value ----------------------------------------------------------------

    def export(self) -> Snapshot:
        """The machine's state as a value; from any thread, at any time."""
        names, ticks = self._compiled.names, tuple(self._ticks)
        return Snapshot(self.id, names, ticks, self._queue_tick, self.machine_tick)

    def import_(self, snapshot: Snapshot) -> None:
        """Take over a state that was exported; no handler runs.

        The states that were active are so again, in their official order, and
        that order is the snapshot's. Contexts expire, and waits are looked at.
        `machine_tick` grows by one; a state `MachineRestored` is added, if
        the schema has one.

        Raises:
            ImportMismatch: the snapshot is of a machine with another id, or of other states.
            InvalidArgument: a transition runs.
            MachineDisposed: this one has been disposed.
        """
        if not isinstance(snapshot, Snapshot):
            raise InvalidArgument(
                f"a snapshot is what export() gave, not {type(snapshot).__name__}",
                argument="snapshot",
                hint="Snapshot.from_dict reads plain data.",
            )
        self._check_idle("import a state")
        try:
            self._import(snapshot)
        finally:
            self._busy.release()
        self._note(
            "changes", f"[import] {self._compiled.schema.fingerprint()[:8]} {sum(self._ticks)}"
        )
        if _RESTORED in self._compiled.index:
            self._mutate(Kind.ADD, {}, (_RESTORED,), None)

    def _import(self, snapshot: Snapshot) -> None:
        if snapshot.id != self.id:
            raise ImportMismatch(f"a snapshot of {snapshot.id!r}", machine=self.id)
        if set(snapshot.names) != set(self._compiled.names):
            other = sorted(set(snapshot.names) ^ set(self._compiled.names))
            raise ImportMismatch(f"other states: {', '.join(other)}", machine=self.id)
        before = self._ticks
        if snapshot.names != self._compiled.names:
            self._use(compiled_of(_reordered(self._compiled.schema, snapshot.names)))
        ticks = array("Q", snapshot.ticks)
        self._ticks = ticks
        active = tuple(at for at, tick in enumerate(ticks) if tick % 2)
        self._config = self._compiled.configuration(active)
        self._active = self._config.active
        self._queue_tick = max(self._queue_tick, snapshot.queue_tick)
        self.machine_tick = snapshot.machine_tick + 1
        for context in (self._contexts or {}).values():
            context._expire()
        self._contexts = None
        if self._waiters is not None and len(before) == len(ticks):
            self._waiters.changed(before, ticks)
        self._settle_plain()

    # -- the schema ----------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The states and their relations."""
        return self._compiled.schema

    def set_schema(self, schema: Any) -> None:
        """Give the machine a larger schema while it lives.

        States that were there keep their ticks; new ones start inactive, at 0.

        Raises:
            SchemaError: the schema is wrong, or has not all the states of the old one.
            InvalidArgument: a transition runs.
            MachineDisposed: it has been disposed.
        """
        new = as_schema(schema)
        missing = [name for name in self._compiled.names if name not in new]
        if missing:
            raise SchemaError(
                f"a machine cannot lose states: {', '.join(missing)}", machine=self.id
            )
        self._check_idle("change the schema")
        try:
            old = self._compiled.schema
            self._use(compiled_of(new))
        finally:
            self._busy.release()
        for tracer in self._tracers:
            tracer.schema_changed(self._self, old)

    def verify_states(self, names: Iterable[str]) -> None:
        """Set the official order of the states.

        Raises:
            SchemaError: these are not exactly the states of the schema.
        """
        if not self._disposed:
            self.set_schema(_reordered(self._compiled.schema, names))

    def _use(self, compiled: Compiled) -> None:
        """Go over to another schema or order; the lock is held."""
        old = self._compiled
        moved = {at: compiled.index[name] for at, name in enumerate(old.names)}
        ticks = zeros(len(compiled.names))
        for at, tick in enumerate(self._ticks):
            ticks[moved[at]] = tick
        order = tuple(moved[at] for at in self._config.order)
        self._compiled, self._ticks = compiled, ticks
        self._config = compiled.configuration(order)
        self._active = self._config.active
        if self._contexts:
            self._contexts = {moved.get(at, at): one for at, one in self._contexts.items()}
        if self._waiters is not None:
            self._waiters.reindex(moved)
        self._rebind()

    def _rebind(self) -> None:
        raise NotImplementedError

    def _check_idle(self, what: str) -> None:
        """Take the lock, or say why not."""
        if self._disposing:
            raise MachineDisposed(self.id)
        if not self._busy.acquire(False):
            raise InvalidArgument(
                f"one cannot {what} during a transition",
                machine=self.id,
                hint="Do it from outside of handlers, or await when_queue_ends() first.",
            )

    # -- tags ----------------------------------------------------------------------------

    @property
    def tags(self) -> tuple[str, ...]:
        """Free words about the machine, such as `key:value`."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        if isinstance(tags, str):
            raise InvalidArgument("tags are several strings, not one", argument="tags")
        self._tags = tuple(dict.fromkeys(str(tag) for tag in tags))

    # -- the end -------------------------------------------------------------------------

    @property
    def disposed(self) -> bool:
        """True once the machine has ended: it takes no mutations and shows no states."""
        return self._disposed

    def on_dispose(self, function: Callable[[], object]) -> None:
        """Call a function when the machine has ended; at once if it has."""
        check_callable(function, "function")
        with binding:
            if not self._disposed:
                if self._on_dispose is None:
                    self._on_dispose = []
                self._on_dispose.append(function)
                return
        function()

    def dispose(self) -> None:
        """End the machine when its queue is empty; safe in handlers and any thread.

        A state `Start` is removed first, if there is one. From now on mutations
        are canceled; what is queued still runs. Then submachines are disposed,
        tracers told, handlers dropped, contexts and their tasks ended, open
        waits ended with `MachineDisposed`, and the `on_dispose` functions
        called. `when_disposed` tells when that is done; without a transition
        under way it is done when this returns.
        """
        if self._disposing:
            return
        if _START in self._config.active:
            self._mutate(Kind.REMOVE, {}, (_START,), None)
        self._disposing = True
        self._plain = False
        self._dispose_if_due()

    async def join(self) -> None:
        """Return when no task of a state runs any more, of this machine and its submachines.

        After `dispose`, or the end of a state, cancelled tasks take a while to
        clean up; wait for it before you close what they use. The task that
        calls this does not count, nor do tasks of other event loops.
        """
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        while True:
            tasks = [t for t in self._tasks or () if t is not me and t.get_loop() is loop]
            if not tasks:
                break
            await asyncio.wait(tasks)
        for child in list((self._children or {}).values()):
            await child.join()  # type: ignore[attr-defined]  # they are machines

    def dispose_now(self) -> None:
        """End the machine at once: what is queued is canceled, also while a transition runs."""
        self._disposing = True
        self._plain = False
        self._drop_queue()
        self._finish_dispose()

    def _finish_dispose(self) -> None:
        if self._disposed:
            return
        while self._queue:
            self._next(None)
        self._disposed = True
        for child in list((self._children or {}).values()):
            child.dispose()  # type: ignore[attr-defined]  # they are machines
        for tracer in self._tracers:
            tracer.machine_disposed(self._self)
        self._bindings, self._bound = (), None
        for context in list((self._contexts or {}).values()):
            context._expire()
        self._contexts = None
        self._config = self._compiled.empty
        self._active = self._config.active
        if self._waiters is not None:
            self._waiters.close(MachineDisposed(self.id))
        self._call_on_dispose()
        gone, self._gone = self._gone, ()
        for wait in gone:
            wait._resolve()

    def _call_on_dispose(self) -> None:
        with binding:
            functions, self._on_dispose = self._on_dispose or [], None
        for function in functions:
            try:
                function()
            except Exception:  # noqa: BLE001 - a user's function
                _log.exception("[%s] an on_dispose function raised", self.id)


def _reordered(schema: Schema, names: Iterable[str]) -> Schema:
    return Schema(dict(schema), order=names, groups=dict(schema.groups))

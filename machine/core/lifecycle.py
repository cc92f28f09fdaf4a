"""The life of a machine: its observers and handlers, imported states, schemas, and its end."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

from machine.core import bindings, work
from machine.core.ending import Ending
from machine.core.handlers import Binding
from machine.core.snapshot import Snapshot
from machine.core.starting import beginning
from machine.core.tracer import Tracer
from machine.core.view import zeros
from machine.errors import (
    ImportMismatch,
    InvalidArgument,
    MachineDisposed,
    SchemaError,
    describe_kind,
)
from machine.rules.kinds import Kind
from machine.rules.resolution import Relations, relations_of
from machine.schema.schema import EXCEPTION, Schema, as_schema

__all__ = ["Lifecycle"]

_RESTORED = "MachineRestored"


class Lifecycle(Ending):
    """Bindings, imports, changes of the schema, and the end."""

    __slots__ = ()

    # -- handlers and tracers ------------------------------------------------------------

    def bind(
        self,
        handlers: object,
        *,
        id: str | None = None,  # noqa: A002 - the public name
        prefix: str = "",
    ) -> Binding:
        """Call handlers from the next transition on, after those that are bound already.

        If no handlers were bound and Exception is active, the error is added
        again, so that the new handlers get it.

        Args:
            handlers: an object with methods (see `machine.core.handlers`), or a
                mapping of handler names to functions.
            id: unique among the bindings of this machine; made up if missing.
            prefix: only methods that begin with it, which is not part of the
                handler's name.

        Raises:
            InvalidHandler: a name fits no state, or a function cannot be a handler.
            InvalidArgument: the object is bound already, the id is taken, or
                there is no handler in it.
        """
        first = not self._m_bindings
        made = bindings.bind(self, handlers, id, prefix)
        if first and self._m_err is not None and EXCEPTION in self._m_config.active:
            self.add_err(self._m_err)
        return made

    def detach(self, handlers: Binding | str) -> None:
        """Call a group of handlers no more.

        Args:
            handlers: the binding that `bind` returned, or its id.

        Raises:
            InvalidArgument: it is not bound.
        """
        bindings.detach(self, handlers)

    @property
    def handlers(self) -> tuple[Binding, ...]:
        """The groups of handlers in the order in which they are called."""
        bindings.read_attributes(self)
        return self._m_bindings

    def bind_tracer(self, tracer: Tracer) -> None:
        """Call the hooks of a tracer from now on.

        Raises:
            InvalidArgument: it is not a `Tracer`, or is bound already.
        """
        bindings.bind_tracer(self, tracer)

    def detach_tracer(self, tracer: Tracer) -> None:
        """Call the hooks of a tracer no more.

        Raises:
            InvalidArgument: it is not bound.
        """
        bindings.detach_tracer(self, tracer)

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """The tracers that are bound."""
        return tuple(one.tracer for one in self._m_tracers)

    # -- state as a value ----------------------------------------------------------------

    def import_(self, snapshot: Snapshot) -> None:
        """Take over an exported state; no handler runs.

        The states that were active are so again, in their official order, and
        that order is the snapshot's. Contexts expire, and waits are evaluated.
        `machine_tick` grows by one; a state `MachineRestored` is added, if
        the schema has one. A snapshot of other states goes through
        `migrate_snapshot`.

        Raises:
            ImportMismatch: the snapshot is of a machine with another id, or of other states.
            InvalidArgument: a transition runs.
            MachineDisposed: this one has been disposed.
        """
        if not isinstance(snapshot, Snapshot):
            raise InvalidArgument(
                f"snapshot must be a Snapshot, not {describe_kind(snapshot)}",
                argument="snapshot",
                hint="export() returns one, and Snapshot.from_dict makes one of plain data.",
            )
        self._m_check_idle("import a state")
        try:
            self._m_import(snapshot)
        finally:
            self._m_let_go()
        self._m_note(
            "changes", f"[import] {self._m_relations.schema.fingerprint()[:8]} {sum(self._m_ticks)}"
        )
        if _RESTORED in self._m_relations.index:
            self._m_mutate(Kind.ADD, {}, (_RESTORED,), None)

    def migrate_snapshot(self, snapshot: Snapshot) -> Snapshot:
        """Return an older snapshot for the states of today; to be overridden.

        Called by `import_`, and so by a history that restores a machine, if the
        snapshot has other states than the machine. By default it returns the
        snapshot as it is, which is refused then.

            def migrate_snapshot(self, snapshot):
                return snapshot.for_states(self.names, renamed={"Closed": "Shut"})
        """
        return snapshot

    def _m_check_states_of(self, snapshot: Snapshot) -> None:
        theirs, ours = set(snapshot.names), set(self._m_relations.names)
        if theirs != ours:
            raise ImportMismatch(
                f"the snapshot has other states: {', '.join(sorted(theirs ^ ours))}.",
                machine=self.id,
                missing=sorted(ours - theirs),
                unexpected=sorted(theirs - ours),
                hint="After a change of the schema, import snapshot.for_states(machine.names, "
                "renamed={...}), or override migrate_snapshot.",
            )

    def _m_import(self, snapshot: Snapshot) -> None:
        if snapshot.id != self.id:
            raise ImportMismatch(f"the snapshot is of the machine {snapshot.id!r}", machine=self.id)
        if set(snapshot.names) != set(self._m_relations.names):
            snapshot = self.migrate_snapshot(snapshot)
            self._m_check_states_of(snapshot)
        if snapshot.names != self._m_relations.names:
            self._m_use(relations_of(_reordered(self._m_relations.schema, snapshot.names)))
        before = self._m_ticks  # in the order of the snapshot
        ticks = array("Q", snapshot.ticks)
        self._m_ticks = ticks
        active = tuple(at for at, tick in enumerate(ticks) if tick % 2)
        self._m_config = self._m_relations.configuration(active)
        self._m_active = self._m_config.active
        self._m_queue_tick = max(self._m_queue_tick, snapshot.queue_tick)
        self.machine_tick: int = snapshot.machine_tick + 1
        for context in (self._m_contexts or {}).values():
            context._expire()
        self._m_contexts = None
        if self._m_open_waits is not None:
            self._m_open_waits.changed(before, ticks)
        self._m_settle_unobserved()

    @property
    def idle_states(self) -> tuple[str, ...]:
        """The active states whose async State handlers do not run, nor have run to their end.

        After `import_` and unpickling, and when an event loop ended before its states.
        """
        return work.idle_states(self)

    def start_work(self) -> tuple[str, ...]:
        """Start the async State handlers of the idle states, as if these had just begun.

        Handlers get no arguments of a mutation; those that need some fail with
        `InvalidHandler`, which becomes the machine's error.

        Returns:
            The states whose work was started.

        Raises:
            InvalidArgument: a transition runs.
            MachineDisposed: the machine has been disposed.
        """
        self._m_check_idle("start work")
        try:
            states = work.start_work(self)
        finally:
            self._m_let_go()
        return states

    # -- the schema ----------------------------------------------------------------------

    def set_schema(self, schema: Any) -> None:
        """Give the machine a larger schema while it lives.

        States that were there keep their ticks; new ones start inactive, at 0, initial ones
        too: those are of new machines.

        Raises:
            SchemaError: the schema is wrong, or has not all the states of the old one.
            InvalidHandler: a handler that is bound is wrong for it.
            InvalidArgument: a transition runs.
            MachineDisposed: it has been disposed.
        """
        new = as_schema(schema)
        missing = [name for name in self._m_relations.names if name not in new]
        if missing:
            raise SchemaError(
                f"a machine cannot lose states: {', '.join(missing)}", machine=self.id
            )
        relations = relations_of(new)
        beginning(relations, self.id)
        self._m_check_idle("change the schema")
        try:
            old = self._m_relations.schema
            self._m_use(relations)
        finally:
            self._m_let_go()
        for tracer in self._m_tracers:
            tracer.schema_changed(self, old)

    def verify_states(self, names: Iterable[str]) -> None:
        """Set the official order of the states.

        Raises:
            SchemaError: these are not exactly the states of the schema.
        """
        if not self._m_disposed:
            self.set_schema(_reordered(self._m_relations.schema, names))

    def _m_use(self, relations: Relations) -> None:
        """Change to another schema or order; the lock is held."""
        old = self._m_relations
        read = bindings.read_again(self, relations)  # first, as a handler may be wrong there
        moved = {at: relations.index[name] for at, name in enumerate(old.names)}
        ticks = zeros(len(relations.names))
        for at, tick in enumerate(self._m_ticks):
            ticks[moved[at]] = tick
        order = tuple(moved[at] for at in self._m_config.order)
        self._m_relations, self._m_ticks = relations, ticks
        self._m_config = relations.configuration(order)
        self._m_active = self._m_config.active
        if self._m_contexts:
            self._m_contexts = {moved.get(at, at): one for at, one in self._m_contexts.items()}
        if self._m_open_waits is not None:
            self._m_open_waits.reindex(moved)
        bindings.set_bindings(self, read)

    def _m_check_idle(self, what: str) -> None:
        """Take the lock.

        Raises:
            InvalidArgument: a transition runs.
            MachineDisposed: the machine has been disposed.
        """
        if self._m_disposing:
            raise MachineDisposed(self.id)
        if not self._m_busy.acquire(False):
            raise InvalidArgument(
                f"cannot {what} during a transition",
                machine=self.id,
                hint="Do it outside of handlers, or await when_queue_ends() first.",
            )

    # -- tags ----------------------------------------------------------------------------

    @property
    def tags(self) -> tuple[str, ...]:
        """Labels of the machine, such as `key:value`."""
        return self._m_tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        if isinstance(tags, str):
            raise InvalidArgument(
                "tags must be an iterable of strings, not one string", argument="tags"
            )
        self._m_tags = tuple(dict.fromkeys(str(tag) for tag in tags))


def _reordered(schema: Schema, names: Iterable[str]) -> Schema:
    return Schema(dict(schema), order=names, groups=dict(schema.groups))

"""Machines in a log: the same lines, in the same order, for the same work.

    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    door.bind_tracer(MachineLogger(Level.OPS))
    door.add("Opened")

    [door] [add] Opened
    [door] [handler:0] OpenedEnter
    [door] [state] +Opened -Closed

The lines go to the standard `logging`, by default to the logger `machine`. How
much is written is a `Level` of its own, because the standard levels are too
few; the level at which a line is logged follows from it: errors are ERROR,
external lines and changes INFO, the rest DEBUG. A record of the log carries
`machine_id`, `machine_level` and `transition` (an id, or "") for formatters
and filters.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from machine.core.tracer import Tracer
from machine.errors import InvalidArgument
from machine.schema.schema import EXCEPTION
from machine.texts import error_text

if TYPE_CHECKING:
    from machine.core.handlers import Handler
    from machine.core.machine import Machine
    from machine.core.mutation import Mutation
    from machine.core.transition import Event, Transition

__all__ = ["ArgsMapper", "Level", "MachineLogger"]


class Level(IntEnum):
    """Levels of detail; each includes those before it."""

    NOTHING = 0
    EXTERNAL = 1
    """Lines of the program itself, by `MachineLogger.log`."""
    CHANGES = 2
    """States that change, and errors."""
    OPS = 3
    """Mutations, the queue, handlers, and why something was canceled."""
    DECISIONS = 4
    """Decisions of relations, and Auto states."""
    EVERYTHING = 5
    """Also states that stay the same, and the end of handlers."""

    def __str__(self) -> str:
        return self.name.lower()


_STANDARD = {
    Level.EXTERNAL: logging.INFO,
    Level.CHANGES: logging.INFO,
    Level.OPS: logging.DEBUG,
    Level.DECISIONS: logging.DEBUG,
    Level.EVERYTHING: logging.DEBUG,
}
_SHORT = 5  # characters of an id


class ArgsMapper:
    """A choice of the arguments to show, and their form.

    Args:
        names: of the arguments; others are not shown.
        max_len: longer values are cut, with `...` at the end if there is room for it.

    Raises:
        InvalidArgument: `max_len` is below 1.
    """

    def __init__(self, names: Iterable[str], max_len: int = 20) -> None:
        if max_len < 1:
            raise InvalidArgument(f"max_len is 1 or more, not {max_len}", argument="max_len")
        self.names: frozenset[str] = frozenset((names,) if isinstance(names, str) else names)
        self.max_len = max_len

    def __call__(self, args: Mapping[str, Any]) -> dict[str, str]:
        """The arguments that are shown, as text, sorted by name."""
        return {name: self._cut(str(args[name])) for name in sorted(self.names & args.keys())}

    def text(self, args: Mapping[str, Any]) -> str:
        """The same as ` (k=v k2=v2)`; "" if there are none."""
        shown = " ".join(f"{name}={value}" for name, value in self(args).items())
        return f" ({shown})" if shown else ""

    def _cut(self, text: str) -> str:
        if len(text) <= self.max_len:
            return text
        if self.max_len < _SHORT:
            return text[: self.max_len]
        return f"{text[: self.max_len - 3]}..."


class MachineLogger(Tracer):
    """A tracer that writes transitions to a log.

    One logger may be bound to any number of machines, in any threads.

    Args:
        level: how much; a `Level` or its name. The attribute may be changed at any time.
        logger: where to; the logger `machine` by default.
        ids: begin each line with the first five characters of the machine's id,
            or with this number of them.
        args: the arguments of mutations to show: an `ArgsMapper`, or their
            names. None are by default, as they may be secret.
        steps: lines about relations: `[implied]`, `[rel:remove]`, `[reject]`.
            They cost time, as the relations are gone through again.
        checks: lines about `can_add` and `can_remove` too.
        traces: the traceback of each error.
        levels: other standard levels for ours.

    Raises:
        InvalidArgument: there is no such level.
    """

    def __init__(
        self,
        level: Level | str = Level.CHANGES,
        *,
        logger: logging.Logger | None = None,
        ids: bool | int = True,
        args: ArgsMapper | Iterable[str] = (),
        steps: bool = True,
        checks: bool = False,
        traces: bool = False,
        levels: Mapping[Level, int] | None = None,
    ) -> None:
        self.level: Level = level_of(level)
        self.logger: logging.Logger = logging.getLogger("machine") if logger is None else logger
        self.ids = ids
        self.args: ArgsMapper = args if isinstance(args, ArgsMapper) else ArgsMapper(args)
        self.steps = steps
        self.checks = checks
        self.traces = traces
        self._standard = {**_STANDARD, **(levels or {})}
        self._called: dict[int, dict[int, int]] = {}  # by transition: how often which handler

    def log(self, machine: Machine[Any], text: str, *, event: Event | None = None) -> None:
        """A line of the program itself: `[extern] text`; from any thread.

        Args:
            event: that of the handler which says it, for `[extern:FooState] text`.
        """
        who = f":{event.name}" if event is not None else ""
        self._write(machine, Level.EXTERNAL, f"[extern{who}] {text}")

    # -- hooks of a tracer --------------------------------------------------------------

    def mutation_queued(self, machine: Machine[Any], mutation: Mutation) -> None:
        """`[queue:add] A B`, `[prepend:add] A`, `[auto] A`."""
        if not self._wants(Level.OPS) or self._hides(mutation):
            return
        states = " ".join(mutation.called)
        if mutation.auto:
            self._write(machine, Level.OPS, f"[auto] {states}")
        elif mutation.queue_tick:
            self._write(machine, Level.OPS, f"[queue:{mutation.kind}] {states}")
            waiting = machine.queue_len
            items = "item" if waiting == 1 else "items"
            self._write(machine, Level.OPS, f"[postpone] queue running ({waiting} {items})")
        else:
            self._write(machine, Level.OPS, f"[prepend:{mutation.kind}] {states}")

    def transition_start(self, tx: Transition) -> None:
        """`[add] A B`, its source, and the decisions of relations."""
        if not self._wants(Level.OPS) or self._hides(tx.mutation):
            return
        mutation = tx.mutation
        level, auto = (Level.DECISIONS, ":auto") if tx.auto else (Level.OPS, "")
        check = ":check" if mutation.check else ""
        shown = self.args.text(mutation.values)
        states = " ".join(mutation.called)
        self._line(tx, level, f"[{mutation.kind}{auto}{check}] {states}{shown}")
        source = mutation.source
        if source is not None:
            where = f"{source.machine}/{source.transition}/{source.time}"
            self._line(tx, level, f"[source] {where}")
        if self.steps:
            self._decisions(tx)
        if not tx.accepted:
            missing = " ".join(name for name in mutation.called if name not in tx.target)
            self._line(tx, level, f"[cancel:reject] {missing}")

    def _decisions(self, tx: Transition) -> None:
        for step in tx.steps:
            by = " ".join(step.other)
            if step.kind == "implied":
                self._line(tx, Level.OPS, f"[implied] {step.state}")
            elif step.kind == "blocked":
                self._blocked(tx, step.state, by)
            elif step.kind == "rejected":
                level, auto = (Level.DECISIONS, ":auto") if tx.auto else (Level.OPS, "")
                missing = " ".join(f"-{name}" for name in step.other)
                self._line(tx, level, f"[reject{auto}] {step.state}({missing})")

    def _blocked(self, tx: Transition, state: str, by: str) -> None:
        if tx.auto and state in tx.called:
            self._line(tx, Level.EVERYTHING, f"[auto:rel:remove] {state} by {by}")
            return
        level = Level.OPS if state in tx.before else Level.DECISIONS
        self._line(tx, level, f"[rel:remove] {state} by {by}")

    def handler_start(self, tx: Transition, handler: Handler) -> None:
        """`[handler:0] AEnter`: the number is that of the group of handlers."""
        if self._wants(Level.OPS) and not self._hides(tx.mutation):
            self._line(tx, Level.OPS, f"[handler:{self._group(tx, handler)}] {handler.name}")

    def _group(self, tx: Transition, handler: Handler) -> int:
        """The number of the handler's group; groups of one class share their handlers."""
        groups = [at for at, one in enumerate(tx.machine.handlers) if handler in one.handlers]
        called = self._called.setdefault(id(tx), {})
        before = called.get(id(handler), 0)
        called[id(handler)] = before + 1
        return groups[before % len(groups)] if groups else 0

    def transition_end(self, tx: Transition) -> None:
        """Nothing is written."""
        self._called.pop(id(tx), None)

    def handler_end(self, tx: Transition, handler: Handler, accepted: bool) -> None:
        """`[handler:end] AEnter`."""
        if self._wants(Level.EVERYTHING) and not self._hides(tx.mutation):
            self._line(tx, Level.EVERYTHING, f"[handler:end] {handler.name}")

    def transition_finals(self, tx: Transition) -> None:
        """`[state] +A +B -C`, and `[error] ...` if this is one."""
        if not self._wants(Level.CHANGES):
            return
        changed = [f"+{name}" for name in tx.enters] + [f"-{name}" for name in tx.exits]
        if changed:
            if self._wants(Level.EVERYTHING):
                changed += [name for name in tx.target if name not in tx.enters]
            kind = "auto_" if tx.auto else "state"
            self._line(tx, Level.CHANGES, f"[{kind}] {' '.join(changed)}")
        if EXCEPTION in tx.enters:
            self._error(tx)

    def _error(self, tx: Transition) -> None:
        values = tx.mutation.values
        error = values.get("error")
        text = error_text(error) if isinstance(error, BaseException) else ""
        cause = tx.mutation.cause
        if cause is not None and values.get("called") == cause.called:
            broken = f"{' '.join(cause.called)} ({text}) by {values.get('handler')}"
            text = f"[error:{cause.kind}] {broken}"
        else:
            text = f"[error] {text or ' '.join(tx.called)}"
        shown = error if self.traces and isinstance(error, BaseException) else None
        self._write(tx.machine, Level.CHANGES, text, tx.id, logging.ERROR, shown)

    def note(self, machine: Machine[Any], level: str, text: str) -> None:
        """Notes of the machine: `[cancel] ...`, `[recover] ...`."""
        running = machine.transition
        if running is None or not self._hides(running.mutation):
            self._write(machine, level_of(level), text, "" if running is None else running.id)

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """`[dispose]`."""
        self._write(machine, Level.OPS, "[dispose]")

    # -- writing -------------------------------------------------------------------------

    def _hides(self, mutation: Mutation) -> bool:
        return mutation.check and not self.checks

    def _wants(self, level: Level) -> bool:
        return level <= self.level and self.logger.isEnabledFor(self._standard[level])

    def _line(self, tx: Transition, level: Level, text: str) -> None:
        self._write(tx.machine, level, text, tx.id)

    def _write(
        self,
        machine: Machine[Any],
        level: Level,
        text: str,
        transition: str = "",
        standard: int = 0,
        error: BaseException | None = None,
    ) -> None:
        standard = standard or self._standard.get(level, logging.DEBUG)
        if not 0 < level <= self.level or not self.logger.isEnabledFor(standard):
            return
        length = _SHORT if self.ids is True else self.ids
        prefix = f"[{machine.id[:length]}] " if length else ""
        extra = {"machine_id": machine.id, "machine_level": str(level), "transition": transition}
        line = f"{prefix}{' '.join(text.splitlines())}".rstrip()
        self.logger.log(standard, "%s", line, extra=extra, exc_info=error)


def level_of(level: Level | str | int) -> Level:
    """The level of this name, or of this number.

    Raises:
        InvalidArgument: there is none.
    """
    try:
        return Level[level.upper()] if isinstance(level, str) else Level(level)
    except (KeyError, ValueError):
        names = ", ".join(map(str, Level))
        raise InvalidArgument(
            f"there is no level {level!r}", argument="level", hint=f"It is one of: {names}."
        ) from None

"""The hub of a machine's pipes: one tracer that hands each change to them."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from weakref import WeakSet, ref

from machine.core.base import Base
from machine.core.identity import IdentityMap
from machine.core.machine import Machine
from machine.core.mutation import NO_ARGS, Source
from machine.core.notes import annotate
from machine.core.tracer import Tracer, send_note
from machine.core.transition import Transition
from machine.errors import InvalidArgument
from machine.waits.result import Result

__all__ = ["AnyMachine", "Change", "Pipe", "PipeSource", "Piped", "open_pipe", "pipes_of"]

AnyMachine: TypeAlias = Machine[Any]


class PipeSource(Protocol):
    """A machine that pipes can begin at: of this process, or a mirror of one elsewhere."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its states."""

    @property
    def current_ticks(self) -> Sequence[int]:
        """Their ticks."""

    @property
    def err(self) -> BaseException | None:
        """Its last error."""

    @property
    def disposed(self) -> bool:
        """True once it has ended."""

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """The bound tracers."""

    def bind_tracer(self, tracer: Tracer) -> None:
        """Tell a tracer of each change."""

    def detach_tracer(self, tracer: Tracer) -> None:
        """Tell a tracer nothing more."""


_log = logging.getLogger("machine")
_numbers = itertools.count(1)
_changing = threading.RLock()  # over the set of pipes
_incoming: IdentityMap[AnyMachine, WeakSet[Pipe]] = IdentityMap()


@dataclass(frozen=True, slots=True)
class Piped(Source):
    """The event behind a mutation that a pipe has made.

    Attributes:
        pipes: the ids of those that the change has come through, the last one last.
    """

    pipes: tuple[str, ...] = ()


class Change:
    """The changes of a transition, for one pipe.

    Attributes:
        target: the other machine.
        source: names the source's event, for mutations of the target.
        args: of the mutation, by name.
        again: True if nothing has changed, and the pipe applies the present state.
    """

    __slots__ = ("_after", "_before", "_index", "_pipe", "again", "args", "source", "target")

    def __init__(self, pipe: Pipe, machine: PipeSource, tx: Transition | None) -> None:
        self._pipe = pipe
        self.target: AnyMachine = pipe.target
        self.again: bool = tx is None
        self.args: Mapping[str, Any] = NO_ARGS
        self.source: Piped
        passed: tuple[str, ...] = ()
        if tx is None:
            self._index = {name: at for at, name in enumerate(machine.names)}
            self._before = self._after = machine.current_ticks
            self.source = Piped(machine.id, "", sum(self._before), (pipe.id,))
            return
        self._index = tx.relations.index
        self._before = tx.ticks_before
        self._after = tx.ticks_after
        self.args = tx.mutation.values
        if isinstance(tx.mutation.source, Piped):
            passed = tx.mutation.source.pipes
        self.source = Piped(machine.id, tx.id, sum(self._before), (*passed, pipe.id))

    @property
    def source_err(self) -> BaseException | None:
        """The error behind this change, or the last one of the source."""
        error = self.args.get("error")
        if isinstance(error, BaseException):
            return error
        return None if self._pipe.source is None else self._pipe.source.err

    def active(self, state: str) -> bool:
        """True if a state of the source is active now."""
        return self._after[self._index[state]] % 2 == 1

    def began(self, state: str) -> bool:
        """True if a state of the source has begun, or begun again."""
        at = self._index[state]
        return self._after[at] % 2 == 1 and (self.again or self._after[at] != self._before[at])

    def ended(self, state: str) -> bool:
        """True if a state of the source has ended."""
        at = self._index[state]
        return self._after[at] % 2 == 0 and (self.again or self._before[at] % 2 == 1)

    def sent(self, result: Result) -> None:
        """A mutation of the target was made."""
        self._pipe.last = result


Carry: TypeAlias = Callable[[Change], None]


class Pipe:
    """States of one machine that follow those of another, until it is detached.

    Attributes:
        id: unique in this process.
        states: of the source, which it looks at.
        target: the machine that follows.
        last: the result of the last mutation of the target; None before the first.
    """

    __slots__ = (
        "__weakref__",
        "_carry",
        "_hub",
        "_source",
        "_words",
        "id",
        "last",
        "states",
        "target",
    )

    def __init__(
        self,
        source: PipeSource,
        target: AnyMachine,
        states: tuple[str, ...],
        carry: Carry,
        words: str,
    ) -> None:
        self.id: str = f"pipe-{next(_numbers)}"
        self._source = ref(source)
        self._carry = carry
        self._words = words
        self._hub: _Hub | None = None
        self.target: AnyMachine = target
        self.states: tuple[str, ...] = states
        self.last: Result | None = None

    def __repr__(self) -> str:
        source = self.source
        mine = "a machine that is gone" if source is None else source.id
        state = "" if self.attached else " detached"
        return f"<Pipe {self.id} {mine} to {self.target.id}: {self._words}{state}>"

    @property
    def source(self) -> PipeSource | None:
        """The machine that it follows; None when that is gone."""
        return self._source()

    @property
    def attached(self) -> bool:
        """False once it was detached, or one of its machines was disposed."""
        return self._hub is not None

    def detach(self) -> None:
        """Follow no more; the target stays as it is. A second time does nothing."""
        with _changing:
            hub, self._hub = self._hub, None
            if hub is not None:
                hub.close(self)

    def sync(self) -> None:
        """Apply the present state of the source; see `pipes.sync`."""
        source = self.source
        if source is not None and self.attached and not self.target.disposed:
            self._carry(Change(self, source, None))

    def _follow(self, machine: AnyMachine, tx: Transition) -> None:
        passed = tx.mutation.source
        if isinstance(passed, Piped) and self.id in passed.pipes:
            send_note(machine, "ops", f"[pipe] {self!r} has passed this on already")
            return
        if self.target.disposed:
            self.detach()
            return
        try:
            self._carry(Change(self, machine, tx))
        except Exception as error:  # noqa: BLE001 - it becomes the source's
            annotate(error, f"in {self!r}")
            _log.exception("[%s] %r failed", machine.id, self)
            if isinstance(machine, Base):  # a mirror has no errors of its own
                machine.add_err(error, source=Piped(machine.id, tx.id, 0, (self.id,)))


class _Following(threading.local):
    """The pipes that a thread follows now.

    A pipe mutates its target inside of the source's transition, so a chain of pipes is a
    chain of calls. Beyond a depth the rest is put off, and worked off by the first pipe of
    the chain before it returns: a chain may be as long as it wants.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.later: deque[tuple[Pipe, AnyMachine, Transition]] = deque()


_MAX_DEPTH = 12
_following = _Following()


def _follow(pipe: Pipe, machine: AnyMachine, tx: Transition) -> None:
    if _following.depth >= _MAX_DEPTH:
        _following.later.append((pipe, machine, tx))
        return
    _following.depth += 1
    try:
        pipe._follow(machine, tx)
        while _following.depth == 1 and _following.later:
            late, source, change = _following.later.popleft()
            if late.attached:
                late._follow(source, change)
    finally:
        _following.depth -= 1


class _Hub(Tracer):
    """All pipes that begin at one machine."""

    def __init__(self, machine: PipeSource) -> None:
        self._machine = ref(machine)
        self.pipes: tuple[Pipe, ...] = ()
        self._states: frozenset[str] = frozenset()

    def open(self, pipe: Pipe) -> None:
        self._use((*self.pipes, pipe))

    def close(self, pipe: Pipe) -> None:
        self._use(tuple(one for one in self.pipes if one is not pipe))
        machine = self._machine()
        if not self.pipes and machine is not None and self in machine.tracers:
            machine.detach_tracer(self)

    def _use(self, pipes: tuple[Pipe, ...]) -> None:
        self.pipes = pipes
        self._states = frozenset(state for pipe in pipes for state in pipe.states)

    def transition_end(self, tx: Transition) -> None:
        before, after = tx.ticks_before, tx.ticks_after
        if after is before:
            return
        machine = tx.machine
        index = tx.relations.index
        changed = {state for state in self._states if _differs(before, after, index[state])}
        if not changed:
            return
        for pipe in self.pipes:
            if pipe.attached and not changed.isdisjoint(pipe.states):
                _follow(pipe, machine, tx)

    def machine_disposed(self, machine: AnyMachine) -> None:
        for pipe in self.pipes:
            pipe.detach()


def _differs(before: Sequence[int], after: Sequence[int], at: int) -> bool:
    return before[at] != after[at]


def pipes_of(source: PipeSource) -> tuple[Pipe, ...]:
    """The pipes that begin at a machine, in the order in which they are followed."""
    hub = _hub_of(source)
    return () if hub is None else hub.pipes


def _hub_of(machine: PipeSource) -> _Hub | None:
    return next((one for one in machine.tracers if isinstance(one, _Hub)), None)


def open_pipe(
    source: PipeSource, target: AnyMachine, states: tuple[str, ...], carry: Carry, words: str
) -> Pipe:
    """A pipe that is followed from the next transition of the source on.

    Args:
        states: of the source, without which nothing is to be done.
        carry: is given each change of one of these.
        words: a description, for its repr.

    Raises:
        InvalidArgument: the machines are the same, or one is disposed.
    """
    if source is target:
        raise InvalidArgument(
            "a pipe leads to another machine",
            argument="target",
            machine=source.id,
            hint="Inside one machine use the relation Add.",
        )
    for machine in (source, target):
        if machine.disposed:
            raise InvalidArgument("a pipe needs machines that live", machine=machine.id)
    pipe = Pipe(source, target, states, carry, words)
    with _changing:
        hub = _hub_of(source)
        if hub is None:
            hub = _Hub(source)
            source.bind_tracer(hub)
        pipe._hub = hub
        hub.open(pipe)
        _end_with(target, pipe)
    return pipe


def _end_with(target: AnyMachine, pipe: Pipe) -> None:
    """Detach the pipe when its target is disposed, without the target keeping it."""
    pipes = _incoming.get(target)
    if pipes is None:
        pipes = _incoming[target] = WeakSet()
        target.on_dispose(_Ended(pipes))
    pipes.add(pipe)


class _Ended:
    """A callable that detaches pipes; a class, so that its repr names it among the callbacks."""

    __slots__ = ("_pipes",)

    def __init__(self, pipes: WeakSet[Pipe]) -> None:
        self._pipes = pipes

    def __call__(self) -> None:
        for pipe in list(self._pipes):
            pipe.detach()

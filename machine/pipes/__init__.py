"""Pipes: the state of one machine follows that of another.

    pipe = pipes.bind_state(client, app, "Connected", "Online")
    ...
    pipe.detach()

A pipe looks at a transition of its source when it is over, its auto states
excepted, and mutates its target according to the clocks. So a change that a
failing handler took back is not piped, and one that it left standing is. The
mutation is made on the thread of that transition. It never waits: if another
thread works off the target's queue, the mutation is queued there. So two machines that
are piped to each other, on two threads, cannot deadlock.

Mutations of the target name the event of the source, as `Source`. It remembers
the pipes of a change: none passes the same pipe twice, so that
circles of machines come to rest. A change that handlers make of it is another
change, unless they name the event; its length is limited by `chain_limit`.

An error in a pipe, such as arguments that the target refuses, becomes the
error of the source. A target that rejects a mutation is no error.

A source may be a remote machine (`rpc.RemoteMachine`): each change of the mirror is to a pipe
what a transition is. A target is a machine of this process.

A pipe ends when it is detached, or with either of its machines. The source
keeps its targets alive, not the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeAlias

from machine.core.base import Base
from machine.core.when import When as Watchable
from machine.errors import InvalidArgument, UnknownState, near_names
from machine.pipes.hub import AnyMachine, Change, Pipe, Piped, PipeSource, open_pipe, pipes_of
from machine.rules.kinds import Kind
from machine.schema.schema import EXCEPTION

__all__ = [
    "Pipe",
    "Piped",
    "add",
    "add_flat",
    "bind_any",
    "bind_connected",
    "bind_err",
    "bind_many",
    "bind_ready",
    "bind_start",
    "bind_state",
    "pipes_of",
    "remove",
    "remove_flat",
    "sync",
]

ArgsOption: TypeAlias = bool | Callable[[Mapping[str, Any]], Mapping[str, Any]]
When: TypeAlias = Literal["begins", "ends"]

_CONNECTION = ("Connecting", "Connected", "Disconnecting", "Disconnected")


def add(
    source: PipeSource,
    target: AnyMachine,
    state: str,
    target_state: str | None = None,
    *,
    when: When = "begins",
    args: ArgsOption = False,
    flat: bool = False,
) -> Pipe:
    """Add a state to the target whenever one of the source begins, or begins again.

    Args:
        state: of the source.
        target_state: of the target; the same name by default. One that is
            called `Err...` is added with the source's error, and so with Exception.
        when: "begins", or "ends" for its end.
        args: True to pass on the arguments of the source's mutation; a function
            of them that gives the target's.
        flat: not if the target has the state already: spares Multi states.

    Raises:
        UnknownState: a machine does not have its state.
        InvalidArgument: both are the same machine, `when` is another word, or one is disposed.
    """
    return _single(Kind.ADD, source, target, state, target_state, when, args, flat)


def remove(
    source: PipeSource,
    target: AnyMachine,
    state: str,
    target_state: str | None = None,
    *,
    when: When = "ends",
    args: ArgsOption = False,
    flat: bool = False,
) -> Pipe:
    """Remove a state from the target whenever one of the source ends, or "begins"; as `add`."""
    return _single(Kind.REMOVE, source, target, state, target_state, when, args, flat)


def add_flat(
    source: PipeSource,
    target: AnyMachine,
    state: str,
    target_state: str | None = None,
    *,
    when: When = "begins",
    args: ArgsOption = False,
) -> Pipe:
    """`add` with flat=True."""
    return add(source, target, state, target_state, when=when, args=args, flat=True)


def remove_flat(
    source: PipeSource,
    target: AnyMachine,
    state: str,
    target_state: str | None = None,
    *,
    when: When = "ends",
    args: ArgsOption = False,
) -> Pipe:
    """`remove` with flat=True."""
    return remove(source, target, state, target_state, when=when, args=args, flat=True)


# -- bundles -----------------------------------------------------------------------------


def bind_state(
    source: PipeSource,
    target: AnyMachine,
    state: str,
    target_state: str | None = None,
    *,
    args: ArgsOption = False,
    flat: bool = False,
) -> Pipe:
    """The target has its state while the source has its own: `add` and `remove` in one pipe."""
    pairs = {state: state if target_state is None else target_state}
    return bind_many(source, target, pairs, args=args, flat=flat)


def bind_many(
    source: PipeSource,
    target: AnyMachine,
    states: Mapping[str, str] | Iterable[str],
    target_states: Iterable[str] | None = None,
    *,
    args: ArgsOption = False,
    flat: bool = False,
) -> Pipe:
    """`bind_state` for many states, in one pipe.

    Args:
        states: those of the source; or a mapping of them to those of the target.
        target_states: those of the target, one for each; the same names by default.

    Raises:
        UnknownState, InvalidArgument: as for `add`; or the lists have different lengths.
    """
    pairs = _pairs(states, target_states)
    _check_states(source, target, pairs)

    def carry(change: Change) -> None:
        # Begins go first, so that of states that take turns the target always has one.
        for mine, theirs in pairs.items():
            if change.began(mine):
                _mutate(change, Kind.ADD, theirs, args, flat)
        for mine, theirs in pairs.items():
            if change.ended(mine):
                _mutate(change, Kind.REMOVE, theirs, args, flat)

    words = ", ".join(mine if mine == own else f"{mine}->{own}" for mine, own in pairs.items())
    return open_pipe(source, target, tuple(pairs), carry, words)


def bind_any(
    source: PipeSource, target: AnyMachine, states: Mapping[str, str] | Iterable[str] | None = None
) -> Pipe:
    """Mirror the source: after each change the target gets all its states in one Set.

    States of the target that are not mirrored stay as they are. If the relations
    of the target reject the whole, it stays as it is.

    Args:
        states: those of the source, or a mapping of them to those of the
            target. By default all that both have, except Exception.

    Raises:
        UnknownState, InvalidArgument: as for `add`; or they have no state in common.
    """
    if states is None:
        states = [name for name in source.names if target.has(name) and name != EXCEPTION]
    pairs = _pairs(states, None)
    _check_states(source, target, pairs)
    mirrored = frozenset(pairs.values())

    def carry(change: Change) -> None:
        wanted = [own for mine, own in pairs.items() if change.active(mine)]
        now = target.active
        if set(wanted) == mirrored.intersection(now):
            return
        kept = [name for name in now if name not in mirrored]
        change.sent(target.set(*wanted, *kept, source=change.source))

    return open_pipe(source, target, tuple(pairs), carry, f"all of {len(pairs)} states")


def bind_err(source: PipeSource, target: AnyMachine, state: str = EXCEPTION) -> Pipe:
    """Errors of the source are errors of the target as well.

    They stay there when the source has got over them. An error that the
    target has at the moment is not given to it again.

    Args:
        state: of the target, for errors from there; it gets Exception as well.

    Raises:
        UnknownState, InvalidArgument: as for `add`.
    """
    _check_states(source, target, {EXCEPTION: state})

    def carry(change: Change) -> None:
        if change.began(EXCEPTION):
            _give_error(change, state)

    return open_pipe(source, target, (EXCEPTION,), carry, f"{EXCEPTION}->{state}")


def bind_ready(source: PipeSource, target: AnyMachine, state: str = "Ready") -> Pipe:
    """The target has `state` while the source is Ready."""
    return bind_state(source, target, "Ready", state)


def bind_start(source: PipeSource, target: AnyMachine, state: str = "Start") -> Pipe:
    """The target has `state` while the source has Start: one starts and stops the other."""
    return bind_state(source, target, "Start", state)


def bind_connected(
    source: PipeSource, target: AnyMachine, states: Mapping[str, str] | None = None
) -> Pipe:
    """The four states of a connection (see `ready_made.Connected`) in one pipe.

    Args:
        states: the target's for some of them, such as `{"Connected": "DbUp"}`;
            the others keep their names.
    """
    names = dict.fromkeys(_CONNECTION, "") | dict(states or {})
    return bind_many(source, target, {mine: own or mine for mine, own in names.items()})


def sync(source: PipeSource, target: AnyMachine | None = None) -> int:
    """Apply all pipes of a machine to its present state; for a target that came later.

    States that are active count as begun, the others as ended; no arguments
    are passed on, and states that the target has already are not added again.

    Args:
        target: only the pipes to this machine.

    Returns:
        The number of pipes.
    """
    found = [pipe for pipe in pipes_of(source) if target is None or pipe.target is target]
    for pipe in found:
        pipe.sync()
    return len(found)


# -- inside ------------------------------------------------------------------------------


def _single(
    kind: Kind,
    source: PipeSource,
    target: AnyMachine,
    state: str,
    target_state: str | None,
    when: When,
    args: ArgsOption,
    flat: bool,
) -> Pipe:
    if when not in ("begins", "ends"):
        raise InvalidArgument(f"when is 'begins' or 'ends', not {when!r}", argument="when")
    own = state if target_state is None else target_state
    _check_states(source, target, {state: own})

    def carry(change: Change) -> None:
        if change.began(state) if when == "begins" else change.ended(state):
            _mutate(change, kind, own, args, flat)

    return open_pipe(source, target, (state,), carry, f"{state} {when}: {kind} {own}")


def _mutate(change: Change, kind: Kind, state: str, args: ArgsOption, flat: bool) -> None:
    target = change.target
    adds = kind is Kind.ADD
    if (flat or change.again) and target.is_(state) is adds:
        return
    if adds and (state == EXCEPTION or state.startswith("Err")) and change.source_err is not None:
        _give_error(change, state)
        return
    given = _args_of(change, args)
    method = target.add if adds else target.remove
    change.sent(method(state, args=given, source=change.source))


def _args_of(change: Change, args: ArgsOption) -> Mapping[str, Any] | None:
    if args is False or change.again:
        return None
    return change.args if args is True else args(change.args)


def _give_error(change: Change, state: str) -> None:
    target, error = change.target, change.source_err
    if target.err is error and target.is_(EXCEPTION, state):
        return
    change.sent(target.add_err_state(state, error, source=change.source))


def _pairs(
    states: Mapping[str, str] | Iterable[str], target_states: Iterable[str] | None
) -> dict[str, str]:
    if isinstance(states, Mapping):
        pairs = dict(states)
    else:
        mine = [states] if isinstance(states, str) else list(states)
        own = mine if target_states is None else list(target_states)
        if len(mine) != len(own):
            raise InvalidArgument(
                f"{len(mine)} states and {len(own)} of the target", argument="target_states"
            )
        pairs = dict(zip(mine, own, strict=True))
    if not pairs:
        raise InvalidArgument("a pipe needs at least one state", argument="states")
    return pairs


def _check_states(source: PipeSource, target: AnyMachine, pairs: Mapping[str, str]) -> None:
    for machine, names in ((source, pairs.keys()), (target, pairs.values())):
        # A mirror of a machine elsewhere can be followed, but not mutated in its transition.
        if not isinstance(machine, Base if machine is target else Watchable):
            raise InvalidArgument(f"a pipe is between machines, not {type(machine).__name__}")
        for name in names:
            if name not in machine.names:
                raise UnknownState(name, machine.id, near_names(name, machine.names))

"""Mutations per second, against others and against plain Python."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from bench.machines import (
    ASYNC,
    AUTOS,
    AWAITS,
    NONE,
    TEN,
    TOGGLE,
    TWO,
    Side,
    bare,
    in_loop,
    ours,
    plain,
    uvloop_or_none,
)
from bench.machines.timing import Pair
from bench.model import Row

__all__ = ["RATE", "pairs"]

RATE = "mutations per CPU second"
"""The figure that is drawn."""

_TRANSITIONS, _STATEMACHINE = "with_transitions", "with_statemachine"
_NAMES = {_TRANSITIONS: "transitions", _STATEMACHINE: "python-statemachine"}
_ASYNC_NAMES = {_TRANSITIONS: "transitions, AsyncMachine", _STATEMACHINE: "python-statemachine"}
_AT_ONCE = 100

# What our rate over theirs must reach, by handlers and who they are.
_LEAST = {
    (TOGGLE, NONE, _TRANSITIONS): 4.0,
    (TOGGLE, NONE, _STATEMACHINE): 40.0,
    (TOGGLE, TWO, _TRANSITIONS): 3.0,
    (TEN, TWO, _TRANSITIONS): 3.0,
    (TOGGLE, ASYNC, _TRANSITIONS): 10.0,
    (TOGGLE, AWAITS, _TRANSITIONS): 10.0,
    (TEN, ASYNC, _TRANSITIONS): 10.0,
    (TEN, AWAITS, _TRANSITIONS): 10.0,
}


@contextlib.contextmanager
def pairs(peers: frozenset[str]) -> Iterator[list[Pair]]:
    """The pairs to compare; the loops end with the block."""
    with ExitStack() as stack:
        yield [*_plain(peers, stack), *_in_loops(peers, stack)]


def _plain(peers: frozenset[str], stack: ExitStack) -> Iterator[Pair]:
    runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop_or_none()))
    for shape in (TOGGLE, TEN):
        for handlers in (NONE, TWO):
            mine = plain(ours.mutating(shape, handlers))
            for peer, against in _NAMES.items():
                if peer in peers:
                    theirs = plain(_module(peer).mutating(shape, handlers))
                    yield _pair(shape, handlers, against, mine, theirs, peer)
            if handlers == NONE and _TRANSITIONS in peers:
                theirs = in_loop(_module(_TRANSITIONS).awaiting(shape, NONE), runner)
                yield _pair(shape, NONE, _ASYNC_NAMES[_TRANSITIONS], mine, theirs)
            against = bare.FLIP if shape == TOGGLE else bare.DICT
            yield _pair(shape, handlers, against, mine, plain(bare.mutating(shape, handlers)))
    for handlers in (NONE, TWO):
        mine, theirs = plain(ours.mutating(AUTOS, handlers)), plain(ours.mutating(TEN, handlers))
        yield _pair(AUTOS, handlers, "without Auto", mine, theirs)


def _in_loops(peers: frozenset[str], stack: ExitStack) -> Iterator[Pair]:
    loops: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
    if (fast := uvloop_or_none()) is not None:
        loops = {"uvloop": fast, **loops}
    for shape in (TOGGLE, TEN):
        for name, factory in loops.items():
            runner = stack.enter_context(asyncio.Runner(loop_factory=factory))
            for handlers in (ASYNC, AWAITS):
                mine = in_loop(ours.awaiting(shape, handlers), runner)
                case = f"{handlers}, {name}"
                for peer, against in _ASYNC_NAMES.items():
                    if peer in peers:
                        theirs = in_loop(_module(peer).awaiting(shape, handlers), runner)
                        least = _LEAST.get((shape, handlers, peer))
                        yield _pair(shape, case, against, mine, theirs, least=least)
                theirs = in_loop(bare.awaiting(shape, handlers), runner)
                yield _pair(shape, case, "a coroutine awaited", mine, theirs)
            if _TRANSITIONS in peers and shape == TOGGLE:
                mine = in_loop(ours.many(shape, ASYNC, _AT_ONCE), runner)
                theirs = in_loop(_module(_TRANSITIONS).many(shape, ASYNC, _AT_ONCE), runner)
                case = f"{ASYNC}, {_AT_ONCE} at once, {name}"
                yield _pair(shape, case, _ASYNC_NAMES[_TRANSITIONS], mine, theirs)


def _module(peer: str) -> Any:
    return importlib.import_module(f"bench.machines.{peer}")


def _pair(
    shape: str,
    handlers: str,
    against: str,
    mine: Side,
    theirs: Side,
    peer: str = "",
    *,
    least: float | None = None,
) -> Pair:
    row = Row(
        subject="machine",
        case=f"{shape}, {handlers}",
        figure=RATE,
        unit="/s",
        ours=0.0,
        against=against,
        least_ratio=_LEAST.get((shape, handlers, peer), least),
    )
    return Pair(row=row, ours=mine, theirs=theirs)

"""The waits of a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from machine.core.base import Core, binding, check_callable
from machine.core.mutation import values_of
from machine.core.view import Names
from machine.errors import InvalidArgument, MachineDisposed
from machine.times import next_active
from machine.waits.contexts import StateContext
from machine.waits.open_waits import Waiters
from machine.waits.result import Result
from machine.waits.wait import Wait

__all__ = ["Waiting"]


class Waiting(Core):
    """What can be waited for.

    Each method returns a `Wait` at once: `await` it, or `.wait(timeout)` in a
    thread. Conditions are looked at after each transition, with its final
    handlers, before the next one; who waits goes on a little later, and may
    see a later state. When the machine is disposed, open waits end with
    `MachineDisposed`.
    """

    __slots__ = ()

    def when(self, *states: Names) -> Wait:
        """All these states are active at the same time."""
        return self._when_all(self._names(states), 1)

    def when_not(self, *states: Names) -> Wait:
        """All these states are inactive at the same time."""
        return self._when_all(self._names(states), 0)

    def when_any(self, *states: Names) -> Wait:
        """At least one of these states is active."""
        names = self._names(states)
        if not names:
            raise InvalidArgument("any of no states never comes", argument="states")
        compiled = self._ticks_of

        def holds(ticks: Sequence[int]) -> bool:
            return any(tick % 2 for tick in compiled(ticks, names))

        return self._until(f"any of {' '.join(names)}", names, holds)

    def when_time(self, states: Names, times: Sequence[int]) -> Wait:
        """Each of these states has reached its tick; they need not stay there together.

        Raises:
            InvalidArgument: there are not as many ticks as states, or none.
        """
        names = self._names((states,))
        wanted = _ticks(times)
        if len(names) != len(wanted) or not names:
            raise InvalidArgument(
                f"{len(names)} states and {len(wanted)} ticks", argument="times", machine=self.id
            )
        ticks_of = self._ticks_of

        def holds(ticks: Sequence[int]) -> bool:
            return all(a >= b for a, b in zip(ticks_of(ticks, names), wanted, strict=True))

        pairs = zip(names, wanted, strict=True)
        return self._until(" ".join(f"{name}:{tick}" for name, tick in pairs), names, holds)

    def when_ticks(self, state: str, ticks: int) -> Wait:
        """A state has ticked so many times from now on."""
        return self.when_time(state, (self._tick_of(state) + _ticks((ticks,))[0],))

    def when_ticks_eq(self, state: str, tick: int) -> Wait:
        """A state has reached a tick."""
        return self.when_time(state, (tick,))

    def when_next_active(self, state: str) -> Wait:
        """A state begins, or begins anew; not counting that it is active now."""
        return self.when_time(state, (next_active(self._tick_of(state)),))

    def when_args(self, state: str, args: Any) -> Wait:
        """A state begins with arguments that have all of these among them."""
        (name,) = self._names((state,))
        wanted = values_of(args)
        if self._disposing:
            return self._closed()
        what = f"{name} with {', '.join(f'{k}={v!r}' for k, v in wanted.items()) or 'any args'}"
        self._note("ops", f"[whenArgs:new] {what}")
        return self._waits().until_args(what, self._compiled.index[name], wanted)

    def when_query(self, query: Callable[[Mapping[str, int]], bool]) -> Wait:
        """A function of the clock gives True; it is asked now and after each change.

        Args:
            query: gets the ticks by state; must be quick, and is called on the
                thread of the transition. What it raises fails the wait's maker
                now, and is logged and taken for False later.
        """
        check_callable(query, "query")

        def holds(ticks: Sequence[int]) -> bool:
            return bool(query(dict(zip(self._compiled.names, ticks, strict=True))))

        return self._until(f"the query {query!r}", (), holds)

    def when_queue(self, result: Result | int) -> Wait:
        """A queued mutation has run, whatever it came to; done at once for others."""
        if isinstance(result, Result):
            if result._wait is not None and not result.done:
                return result._wait
            return self._done()
        if _ticks((result,))[0] <= 1 or self._queue_tick >= result:
            return self._done()
        if self._disposing:
            return self._closed()
        return self._waits().until_tick(f"queue tick {result}", result)

    def when_queue_ends(self) -> Wait:
        """Nothing is left in the queue; done at once if nobody drains."""
        if self._disposed:
            return self._closed()
        return self._waits().until_queue_ends()

    def when_err(self) -> Wait:
        """The state Exception is active."""
        return self.when("Exception")

    def when_disposed(self) -> Wait:
        """The machine has been disposed."""
        if self._disposed:
            return self._done()
        wait = Wait("the end of the machine")
        with binding:
            self._gone = (*self._gone, wait)
        if self._disposed:
            wait._resolve()
        return wait

    def state_ctx(self, state: str) -> StateContext:
        """The context of a state as it is now; expires when the state's clock ticks.

        May be taken of an inactive state, and is the same object for all who
        take it between two ticks.

        Raises:
            UnknownState: it is not in the schema.
        """
        (name,) = self._names((state,))
        if self._disposing and self._contexts is None:
            context = StateContext(self, name, self._ticks[self._compiled.index[name]])
            context.expired = True
            return context
        return self._context(self._compiled.index[name])

    # -- inside --------------------------------------------------------------------------

    def _waits(self) -> Waiters:
        if self._waiters is None:
            with binding:
                if self._waiters is None:
                    self._waiters = Waiters(self)
        return self._waiters

    def _when_all(self, names: tuple[str, ...], odd: int) -> Wait:
        ticks_of = self._ticks_of

        def holds(ticks: Sequence[int]) -> bool:
            return all(tick % 2 == odd for tick in ticks_of(ticks, names))

        what = f"{'' if odd else 'not '}{' '.join(names)}"
        return self._until(what, names, holds) if names else self._done()

    def _until(
        self,
        what: str,
        names: tuple[str, ...],
        holds: Callable[[Sequence[int]], bool],
    ) -> Wait:
        if self._disposing:
            return self._closed()
        self._note("ops", f"[when:new] {what}")
        return self._waits().until(what, self._indexes(names), holds)

    def _ticks_of(self, ticks: Sequence[int], names: tuple[str, ...]) -> list[int]:
        index = self._compiled.index
        return [ticks[index[name]] for name in names]

    def _tick_of(self, state: str) -> int:
        (name,) = self._names((state,))
        return self._ticks[self._compiled.index[name]]

    def _done(self) -> Wait:
        wait = Wait("nothing")
        wait._resolve()
        return wait

    def _closed(self) -> Wait:
        wait = Wait("nothing: the machine is disposed")
        wait._fail(MachineDisposed(self.id))
        return wait


def _ticks(given: object) -> tuple[int, ...]:
    if isinstance(given, Iterable):
        ticks = tuple(given)
        if all(isinstance(tick, int) for tick in ticks):
            return ticks
    raise InvalidArgument(f"ticks are whole numbers, not {given!r}", argument="times")

"""A machine that lives in another process, with the questions and waits of a local one.

Questions are answered from the mirrored clock and cost no traffic. Waits and
state contexts are those of local machines: each change of the clock is to them
what a transition is to a local machine, however many transitions of the source it
covers. A state that went off and on within one change has ticked twice; its
context ends, and waits for ticks see it.

Mutations are calls to the source. Their effect is visible here when they return.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from grid.errors import GridError
from machine.core.bindings import bind_tracer, detach_tracer
from machine.core.mutation import Mutation, values_of
from machine.core.tracer import Tracer
from machine.core.transition import Transition
from machine.core.view import Names, zeros
from machine.core.when import When, setup_lock
from machine.errors import InvalidArgument, MachineDisposed, MachineError
from machine.rules.kinds import Kind
from machine.rules.resolution import relations_of
from machine.schema.schema import EXCEPTION, Schema
from machine.times import Time
from machine.waits.result import Result
from machine.waits.wait import Wait
from rpc.machine_pb2 import Step
from rpc.machines.clock import Clock
from rpc.machines.errors import ProtocolError, SourceRestarted
from rpc.machines.messages import KINDS, fault_of
from rpc.machines.remote_calls import From, RemoteCalls
from rpc.machines.views import AgreedNames, active_positions, move_between, trace

__all__ = ["RemoteMachine"]

S = TypeVar("S")


class RemoteMachine(When, Generic[S]):
    """The mirror of a machine of another process; made by `rpc.Client`.

    Args:
        calls: the client.
        schema: of the source, or of the names alone.
        id: of the source.
        tags: of the source.

    Attributes:
        restarts: the number of times that the ticks of the source have begun again.
    """

    __slots__ = ("_agreed", "_calls", "_of_epoch", "_transitions", "restarts", "tags")

    def __init__(
        self,
        calls: RemoteCalls,
        schema: Schema,
        id: str,  # noqa: A002 - the public name
        tags: tuple[str, ...] = (),
    ) -> None:
        super().__init__(relations_of(schema), id)
        self.tags: tuple[str, ...] = tags
        self.restarts = 0
        self._calls = calls
        self._agreed = AgreedNames((), self.names)
        self._of_epoch: WeakSet[Wait] = WeakSet()
        self._transitions = 0
        self._m_unobserved = False

    # -- the connection --------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """True while the mirror follows its source; False: what it shows may be old."""
        return self._calls.connected

    @property
    def last_heard(self) -> float:
        """Time of the last message from the source, in seconds of the loop's clock."""
        return self._calls.last_heard

    @property
    def mirrored(self) -> tuple[str, ...]:
        """The states that are mirrored; others of the schema are not known."""
        return self._agreed.names

    def on_disconnected(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call a function each time the connection has ended; returns what ends that."""
        return self._calls.on_disconnected(tell)

    @property
    def err(self) -> BaseException | None:
        """The last error of the source, as a `RemoteError`."""
        return self._m_err

    async def sync(self, timeout: float | None = None) -> Time:
        """Bring the mirror up to date; its time.

        Raises:
            NotConnected, CallTimeout: it may be old.
        """
        await self._calls.synchronise(timeout)
        return self.time()

    # -- mutations -------------------------------------------------------------------------

    async def add(
        self,
        *states: Names,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """Activate states at the source; see `machine.Machine.add`.

        When it returns, the change is visible here. While the connection is
        away, it waits for the next one. It is carried out once, also over
        reconnects.

        Args:
            states: one by one, or in iterables.
            args: a mapping or a dataclass of plain data and protobuf messages.
            source: the event for which this is done.
            timeout: seconds; by default the client's.

        Raises:
            UnknownState, NotPlainData: nothing was sent.
            AccessDenied, InvalidArgument: the source refused; nothing was done.
            MessageTooLarge: the arguments are over the size limit; nothing was sent.
            CallTimeout, SourceGone: it may have been carried out.
        """
        return await self._calls.mutate(
            Kind.ADD, self._m_names(states), args, source, None, timeout
        )

    async def remove(
        self,
        *states: Names,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """Deactivate states at the source; as `add`."""
        return await self._calls.mutate(
            Kind.REMOVE, self._m_names(states), args, source, None, timeout
        )

    async def set(
        self,
        *states: Names,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """Activate these states at the source and deactivate all others; as `add`."""
        return await self._calls.mutate(
            Kind.SET, self._m_names(states), args, source, None, timeout
        )

    async def toggle(
        self,
        *states: Names,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """Remove these states if all are active here, else add them; as `add`."""
        names = states if self.disposed else self.check_states(*states)  # iterators are used up
        act = self.remove if self.is_(*names) else self.add
        return await act(*names, args=args, source=source, timeout=timeout)

    async def add_err(
        self,
        error: BaseException,
        *,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """Make an error the machine's; it arrives there as a `RemoteError`. As `add`."""
        return await self.add_err_state(EXCEPTION, error, args=args, source=source, timeout=timeout)

    async def add_err_state(
        self,
        state: str,
        error: BaseException,
        *,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """As `add_err`, and activate a state for this kind of error as well."""
        if not isinstance(error, BaseException):
            raise InvalidArgument(f"error must be an exception, not {type(error).__name__}")
        states = self._m_names((state,))
        return await self._calls.mutate(Kind.ADD, states, args, source, fault_of(error), timeout)

    async def add_ns(self, *states: Names, args: object = None, source: From = None) -> None:
        """As `add`, without a result: it returns when the message is on its way.

        Raises:
            NotConnected: nothing was sent.
        """
        await self._calls.notify(Kind.ADD, self._m_names(states), args, source)

    async def remove_ns(self, *states: Names, args: object = None, source: From = None) -> None:
        """As `remove`, without a result; see `add_ns`."""
        await self._calls.notify(Kind.REMOVE, self._m_names(states), args, source)

    async def set_ns(self, *states: Names, args: object = None, source: From = None) -> None:
        """As `set`, without a result; see `add_ns`."""
        await self._calls.notify(Kind.SET, self._m_names(states), args, source)

    async def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function that the source offers; see `rpc.Client.get`."""
        return await self._calls.get(name, timeout=timeout, **args)

    async def log(self, text: str) -> None:
        """Write a line into the log of the source."""
        await self._calls.log(text)

    # -- waits -----------------------------------------------------------------------------

    def when_time(self, states: Names, times: Sequence[int]) -> Wait:
        """Each of these states has reached its tick; see `machine.Machine.when_time`.

        It fails with `SourceRestarted` when the ticks of the source begin again.
        """
        wait = super().when_time(states, times)
        self._of_epoch.add(wait)
        return wait

    def when_args(self, state: str, args: Any) -> Wait:
        """A state begins at the source with arguments that have all of these among them.

        The wait fails with `NotPlainData` if the source cannot read the arguments, and with
        `ProtocolError` if it has too many waits of this client.
        """
        (name,) = self._m_names((state,))
        if self._m_disposing:
            return self._m_closed()
        wanted = values_of(args)
        return self._calls.subscribe(name, wanted, f"{name} with {dict(wanted)!r}")

    # -- observers -------------------------------------------------------------------------

    def bind_tracer(self, tracer: Tracer) -> None:
        """Tell a tracer of each change of the mirror, as of one transition; see `Machine`."""
        bind_tracer(self, tracer)

    def detach_tracer(self, tracer: Tracer) -> None:
        """Tell a tracer nothing more; see `Machine`."""
        detach_tracer(self, tracer)

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """The bound tracers."""
        return tuple(one.tracer for one in self._m_tracers)

    @property
    def schema(self) -> Schema:
        """The schema of the source; without relations if it is not known."""
        return self._m_relations.schema

    # -- for the client --------------------------------------------------------------------

    def agreed_indexes(self, states: tuple[str, ...]) -> tuple[int, ...]:
        """The positions of states in the agreed list.

        Raises:
            UnknownState: one is not in the schema.
            InvalidArgument: one is not mirrored.
        """
        try:
            return self._agreed.indexes(states)
        except KeyError as missing:
            (name,) = self._m_names((missing.args[0],))
            raise InvalidArgument(f"{name} is not among the states that are mirrored") from None

    def agree(self, names: Sequence[str], schema: Schema) -> None:
        """Take over the names that positions in updates refer to."""
        if tuple(schema.names) != self.names:
            self._m_relations = relations_of(schema)
        self._agreed = AgreedNames(names, self.names)

    def apply(self, clock: Clock, restarted: bool) -> None:
        """Take over a clock of the source."""
        before = self._m_ticks
        agreed, relations = self._agreed, self._m_relations
        after = clock.ticks if agreed.same else agreed.spread(clock.ticks)
        if len(before) != len(after):  # of another schema
            before, restarted = zeros(len(after)), True
        active = active_positions(relations, after, partial=agreed.partial)
        config = relations.configuration(active)
        self._m_ticks, self._m_config, self._m_active = after, config, config.active
        self._m_queue_tick, self.machine_tick = clock.queue_tick, clock.machine_tick
        self._m_thread = threading.get_ident()
        self._m_expire_old()
        if restarted:
            self.restarts += 1
            for wait in tuple(self._of_epoch):
                wait._fail(SourceRestarted(f"{self.id!r} was restarted; its ticks begin again"))
        if self._m_open_waits is not None:
            self._m_open_waits.changed([-1] * len(after) if restarted else before, after)
            self._m_open_waits.queue_moved(clock.queue_tick)
        if self._m_tracers:
            mutation = Mutation(Kind.SET, config.names)
            trace(self._m_tracers, self._transition_of(mutation, before, after))

    def dispose(self) -> None:
        """End the mirror and what waits on it; the source goes on."""
        if self._m_disposed:
            return
        self._m_disposing = self._m_disposed = True
        self._m_config = self._m_relations.empty
        self._m_active = self._m_config.active
        for context in list((self._m_contexts or {}).values()):
            context._expire()
        if self._m_open_waits is not None:
            self._m_open_waits.close(MachineDisposed(self.id))
        for wait in tuple(self._of_epoch):
            wait._fail(MachineDisposed(self.id))
        for tracer in self._m_tracers:
            tracer.machine_disposed(self)
        with setup_lock:
            gone, self._m_gone = self._m_gone or (), None
        for one in gone:
            one._resolve()

    def matched(self, wait: Wait) -> None:
        """A state began with the arguments that a wait is for."""
        wait._resolve()

    def queued(self, tick: int) -> Result:
        """The result of a mutation that the source has queued."""
        return Result(tick, Wait(f"queue tick {tick} of {self.id}"))

    def refused(self, wait: Wait, error: GridError | MachineError) -> None:
        """The source does not look for the arguments of a wait."""
        wait._end(error)

    def abandon(self, result: Result, error: BaseException) -> None:
        """The outcome of a queued mutation will not come."""
        if result._wait is not None:
            result._wait._end(error)

    def settle(self, result: Result, final: Result) -> None:
        """A queued mutation has run."""
        result._settle(final)

    def faulted(self, error: MachineError) -> None:
        """Take over the last error of the source."""
        self._m_err = error

    def stepped(self, step: Step) -> None:
        """Tell tracers of one transition of the source, whose clock has been applied."""
        if not self._m_tracers:
            return
        names = self._agreed.names
        called = tuple(names[at] for at in step.called if at < len(names))
        kind = KINDS.get(step.kind)
        if kind is None:
            raise ProtocolError(f"the source has made a mutation of kind {step.kind}")
        mutation = Mutation(kind, called, auto=step.auto)
        transition = self._transition_of(mutation, self._m_ticks, self._m_ticks)
        transition.accepted = step.accepted
        trace(self._m_tracers, transition)

    # -- inside ----------------------------------------------------------------------------

    def _transition_of(
        self, mutation: Mutation, before: array[int], after: array[int]
    ) -> Transition:
        partial = self._agreed.partial
        move = move_between(self._m_relations, mutation, before, after, partial=partial)
        self._transitions += 1
        return Transition.mirrored(self, mutation, move, before, after, self._transitions)

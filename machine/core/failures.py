"""Failures: errors that become a machine's state, of handlers and of others; and evals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from machine.core import bindings
from machine.core.dry_runs import DryRuns
from machine.core.mutation import DropReason, Mutation, Source
from machine.core.notes import annotate
from machine.core.plans import Call
from machine.core.transition import Event, Transition, source_of
from machine.core.when import check_callable
from machine.errors import EvalTimeout, HandlerTimeout, InvalidArgument, MachineError, describe_kind
from machine.rules.kinds import Kind
from machine.rules.resolution import Move
from machine.schema.schema import EXCEPTION
from machine.waits.result import CANCELED, Result

__all__ = ["Failures", "From", "Stopped"]

_log = logging.getLogger("machine")

From: TypeAlias = Event | Source | None


class Stopped(Exception):
    """A handler said no, or failed; the transition ends."""


class Failures(DryRuns):
    """Errors of a machine, and functions that run between transitions."""

    __slots__ = ()

    # -- errors --------------------------------------------------------------------------

    def add_err(
        self,
        error: BaseException | None,
        *,
        args: Mapping[str, Any] | None = None,
        source: From = None,
    ) -> Result:
        """Make an error the machine's: `err` holds it, and `Exception` becomes active.

        Never refused for a full queue or a backoff. None and CancelledError
        are not errors, and canceled.

        Args:
            error: handlers of `Exception` get it as `error`.
            args: more for these handlers.
        """
        return self._m_add_error((EXCEPTION,), error, args, source)

    def add_err_state(
        self,
        state: str,
        error: BaseException | None,
        *,
        args: Mapping[str, Any] | None = None,
        source: From = None,
    ) -> Result:
        """As `add_err`, and activate a state for this kind of error as well."""
        return self._m_add_error((*self._m_names((state,)), EXCEPTION), error, args, source)

    def _m_add_error(
        self, states: tuple[str, ...], error: BaseException | None, args: Any, source: Any
    ) -> Result:
        if error is None or isinstance(error, asyncio.CancelledError):
            return CANCELED
        if not isinstance(error, BaseException):
            raise InvalidArgument(
                f"error must be an exception, not {describe_kind(error)}", argument="error"
            )
        given = dict(self._m_mutation(Kind.ADD, (), args, None).values)
        self._m_record(error)
        # An attribute that cannot be a handler must not hide this error: the next mutation raises.
        with contextlib.suppress(MachineError):
            bindings.read_attributes(self)
        if self._m_disposing:
            return self._m_refuse(Kind.ADD, states, args, DropReason.DISPOSED)
        mutation = Mutation(Kind.ADD, tuple(dict.fromkeys(states)), {**given, "error": error})
        mutation.source = source_of(source)
        if self._m_busy.acquire(False):
            if not self._m_queue:
                self._m_queue_tick += 1
                return self._m_drain_with(mutation)
            self._m_busy.release()
        return self._m_enqueue(mutation, limited=False)

    @contextlib.contextmanager
    def catching(
        self, state: str = EXCEPTION, *, args: Mapping[str, Any] | None = None
    ) -> Iterator[None]:
        """Make errors of the body the machine's, and suppress them.

        For work outside of handlers. KeyboardInterrupt and CancelledError pass.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the purpose of this method
            self.add_err_state(state, error, args=args)

    # -- evals -------------------------------------------------------------------------

    def eval(
        self, source: str, function: Callable[[], object], *, timeout: float | None = None
    ) -> bool:
        """Run a function while no transition and no handler runs.

        Args:
            source: a name for the caller, for logs.
            function: must be quick; its errors are raised here.
            timeout: seconds to wait for a turn; `eval_timeout` by default.

        Returns:
            True if it ran. False if it did not have a turn in time (then it
            never runs), in a handler of this machine (which would wait for
            itself), and on a disposed machine.
        """
        if not isinstance(source, str) or not source:
            raise InvalidArgument("eval needs a name for its caller", argument="source")
        check_callable(function, "function")
        if self._m_disposing:
            return False
        if self._m_thread == threading.get_ident():
            if self._m_transition is not None and self._m_transition.handler:
                self._m_add_error((EXCEPTION,), _nested(self.id, source), None, None)
            return False
        self._m_note("ops", f"[eval] {source}")
        turn = _Turn(function)
        mutation = Mutation(Kind.ADD, ())
        mutation._function = turn.take
        result = self._m_prepend(mutation)
        seconds = self._m_options.eval_timeout if timeout is None else timeout
        if result.queued:
            with contextlib.suppress(TimeoutError):
                result.wait(seconds)
        ran = turn.end()
        if ran:
            result.wait()  # its turn came at the last moment, and it runs still
            turn.check()
        if not ran:
            self._m_note("ops", f"[eval:timeout] {source}")
            self._m_remember_late(EvalTimeout(source, seconds, machine=self.id))
        return ran

    def _m_background_failed(self, error: BaseException, state: str, name: str) -> None:
        super()._m_background_failed(error, state, name)
        self._m_add_error((EXCEPTION,), error, {"handler": name, "state": state}, None)

    # -- failures of handlers ------------------------------------------------------------

    def _m_take_back(self, tx: Transition, move: Move, finals: Sequence[Call]) -> None:
        """Take back the states whose final handlers did not complete, one tick each."""
        # 0 for an interrupt before the first of them was called.
        position = next((call.position for call in finals if call.name == tx.handler), 0)
        if self._m_open_waits is not None:
            self._m_open_waits.reached(move.enters, position - len(move.exits), tx.mutation)
        before = move.before.order
        back = move.exits[position:]
        entered = move.enters[max(0, position - len(move.exits)) :]
        off = [state for state in entered if state not in before]
        if not (back or off):
            return
        stays = [state for state in move.target.order if state not in off]
        target = self._m_relations.configuration((*stays, *back))
        changes = tuple((state, 1) for state in (*back, *off))
        ticks = self._m_ticks[:]
        for at, more in changes:
            ticks[at] += more
        self._m_ticks = tx._ticks_after = ticks
        self._m_config = target
        self._m_active = target.active
        if self._m_contexts:
            self._m_expire(changes)
        self._m_note("ops", f"[recover] partial final states as ({' '.join(target.names)})")

    def _m_raised(self, tx: Transition, call: Call, error: Exception) -> NoReturn:
        """Make a handler's error the state Exception, and end the transition.

        Called where the error was caught, so that with `catch` off it goes on from there.
        """
        tx.error = error
        annotate(error, _story_of(self.id, tx, call.name))
        if not self._m_options.catch:
            raise error
        _log.error("[%s] %s raised in %s", self.id, call.name, tx.mutation, exc_info=error)
        self._m_note("ops", f"[cancel] ({' '.join(tx.target)}) by recover")
        self._m_fail(tx, call, error)
        raise Stopped from None

    def _m_fail(self, tx: Transition, call: Call, error: BaseException) -> None:
        self._m_record(error)
        if EXCEPTION in tx.mutation.called:
            return
        args = {
            "error": error,
            "handler": call.name,
            "called": tx.mutation.called,
            "before": tx.before,
            "transition": tx.id,
        }
        mutation = Mutation(Kind.ADD, (EXCEPTION,), args, cause=tx.mutation)
        mutation.failures = tx.mutation.failures + 1
        self._m_put_first(mutation, tx)

    def _m_overran(self, tx: Transition, call: Call, took: float, answer: object) -> None:
        """Cancel the transition of a handler that returned too late."""
        options = self._m_options
        if asyncio.iscoroutine(answer):
            answer.close()  # it will not be awaited
        error = HandlerTimeout(
            call.name, options.handler_timeout, machine=self.id, source=tx.mutation.source
        )
        tx.error = error
        annotate(error, _story_of(self.id, tx, call.name))
        self._m_remember_late(error)
        self._m_note("ops", f"[cancel] ({' '.join(tx.target)}) by timeout")
        _log.warning("[%s] %s took %.3f s in %s", self.id, call.name, took, tx.mutation)
        if took > options.handler_timeout + options.handler_deadline:
            self._m_drop_queue()
            self._m_fail(tx, call, error)
            self._m_backoff_until = self._m_options.clock() + options.handler_backoff
        raise Stopped

    def _m_give_up_waiting(self) -> None:
        """Cancel the mutations behind a handler that hangs, so that no thread waits for them.

        Called by the watchdog; the handler's own transition ends when it returns.
        """
        self._m_backoff_until = self._m_options.clock() + self._m_options.handler_backoff
        self._m_unobserved = False
        self._m_drop_queue()


class _Turn:
    """A function that runs once, unless it was given up before."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._lock = threading.Lock()  # held for good by the first of `take` and `end`
        self._error: BaseException | None = None

    def take(self) -> None:
        if self._lock.acquire(False):
            try:
                self._function()
            except Exception as error:  # noqa: BLE001 - raised at the caller
                self._error = error
            except BaseException as error:
                self._error = error
                raise  # of the thread that works the queue off, whose interrupt it may be

    def end(self) -> bool:
        """Give up unless its turn has come; True if it has."""
        return not self._lock.acquire(False)

    def check(self) -> None:
        """Raise the error of the function."""
        if self._error is not None:
            raise self._error


def _nested(machine: str, source: str) -> InvalidArgument:
    return InvalidArgument(
        f"eval {source!r} inside a handler would wait for itself",
        machine=machine,
        hint="Call the function directly: a handler has the machine to itself.",
    )


def _story_of(machine: str, tx: Transition, handler: str) -> str:
    """Return the handler, its mutation and the causes of that, for notes of errors."""
    causes: list[str] = []
    one: Mutation | None = tx.mutation
    while one is not None and len(causes) < 8:
        source = "" if one.source is None else f" from {one.source.machine}"
        causes.append(f"{one}{source}")
        one = one.cause
    return f"in {handler} of the machine {machine!r}: {' <- '.join(causes)}"

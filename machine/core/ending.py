"""The end of a machine: `dispose`, `dispose_now`, and all that ends with it.

Every step is taken, also if one before it raises: an error of a submachine, or an
interrupt, is raised when the machine has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from machine.core.engine import Engine
from machine.core.when import check_callable, setup_lock
from machine.errors import MachineDisposed
from machine.rules.kinds import Kind

__all__ = ["Ending"]

_log = logging.getLogger("machine")
_START = "Start"


class Ending(Engine):
    """The end."""

    __slots__ = ()

    def on_dispose(self, function: Callable[[], object]) -> None:
        """Call a function when the machine has ended; at once if it has."""
        check_callable(function, "function")
        with setup_lock:
            if not self._m_disposed:
                if self._m_on_dispose is None:
                    self._m_on_dispose = []
                self._m_on_dispose.append(function)
                return
        function()

    def dispose(self) -> None:
        """End the machine when its queue is empty; safe in handlers and any thread.

        A state `Start` is removed first, if there is one. From now on mutations
        are canceled; those that are queued still run. Then submachines are disposed,
        tracers called, handlers dropped, contexts and their tasks ended, open
        waits ended with `MachineDisposed`, and the `on_dispose` functions
        called. `when_disposed` is done after that; while no transition runs it
        is done when this returns.
        """
        if self._m_disposing:
            return
        try:
            if _START in self._m_config.active:
                self._m_mutate(Kind.REMOVE, {}, (_START,), None)
        finally:
            self._m_disposing = True
            self._m_unobserved = False
            self._m_dispose_if_due()

    async def join(self) -> None:
        """Return when no task of a state runs any more, of this machine and its submachines.

        After `dispose`, or the end of a state, cancelled tasks take a while to
        clean up; wait for them before you close resources that they use. The task
        that calls this does not count, nor do tasks of other event loops.
        """
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        while True:
            tasks = [t for t in self._m_tasks or () if t is not me and t.get_loop() is loop]
            if not tasks:
                break
            await asyncio.wait(tasks)
        for child in list((self._m_children or {}).values()):
            await child.join()

    def dispose_now(self) -> None:
        """End the machine at once and cancel the queue, also while a transition runs."""
        self._m_disposing = True
        self._m_unobserved = False
        self._m_drop_queue()
        self._m_finish_dispose()

    def _m_finish_dispose(self) -> None:
        if self._m_disposed:
            return
        errors: list[BaseException] = []
        while self._m_queue:
            interrupt = self._m_next(None)
            errors += [] if interrupt is None else [interrupt]
        self._m_disposed = True
        for child in list((self._m_children or {}).values()):
            _try(child.dispose, errors)
        for tracer in self._m_tracers:
            _try(partial(tracer.machine_disposed, self), errors)
        self._m_bindings, self._m_bound = (), None
        self._m_close()
        if self._m_open_waits is not None:
            self._m_open_waits.close(MachineDisposed(self.id))
        with setup_lock:
            functions, self._m_on_dispose = self._m_on_dispose or [], None
        for function in functions:
            _try(partial(self._m_call_on_dispose, function), errors)
        with setup_lock:
            gone, self._m_gone = self._m_gone or (), None
        for wait in gone:
            wait._resolve()
        if errors:
            raise errors[0]

    def _m_close(self) -> None:
        """End the contexts, also those that handlers made after `dispose_now`, and all states."""
        for context in list((self._m_contexts or {}).values()):
            context._expire()
        self._m_contexts = None
        self._m_config = self._m_relations.empty
        self._m_active = self._m_config.active

    def _m_call_on_dispose(self, function: Callable[[], object]) -> None:
        try:
            function()
        except Exception:  # noqa: BLE001 - a user's function must not break the machine
            _log.exception("[%s] an on_dispose function raised", self.id)


def _try(function: Callable[[], object], errors: list[BaseException]) -> None:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - raised when the machine has ended
        errors.append(error)

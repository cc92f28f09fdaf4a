"""Attempts at the async work of a state: its timeout, its retries, and the pauses between them.

All attempts are one task of the state's context, so the end of the activation cancels
the attempt, or the pause, that is under way. Only states that declare a timeout or
retries get here; the work of others is started as it is.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from machine.core.base import Base
from machine.core.handlers import Handler
from machine.core.notes import annotate
from machine.core.transition import Transition
from machine.errors import StateTimeout
from machine.schema.state import State
from machine.waits.contexts import StateContext, set_attempt

__all__ = ["limited"]


def limited(
    machine: Base,
    handler: Handler,
    owner: object,
    tx: Transition,
    work: Coroutine[Any, Any, Any],
    context: StateContext,
) -> Coroutine[Any, Any, None]:
    """Return the work of a handler within the limits of its state, to be started.

    Args:
        work: the first attempt, which has not begun.
    """
    state = machine._m_relations.limits[handler.place[1]]
    again = partial(handler.invoke, owner, tx)
    jitter = machine._m_options.jitter
    attempts = _attempts(work, again, state, context, handler.name, jitter)
    # It is stopped at a yield inside its `try`, so that the first attempt is closed
    # also when the task is cancelled before its first step.
    attempts.send(None)
    return attempts


@types.coroutine
def _bare_yield() -> Generator[None, None, None]:
    yield


async def _attempts(
    work: Coroutine[Any, Any, Any],
    again: Callable[[], Any],
    state: State,
    context: StateContext,
    handler: str,
    jitter: Callable[[float], float],
) -> None:
    try:
        await _bare_yield()
        retries, attempt = state.retry, 1
        while True:
            set_attempt(context, attempt)
            try:
                await _limited(work, state.timeout, context, handler)
            except Exception as error:
                if retries is None:
                    raise
                if attempt >= retries.attempts:
                    annotate(error, f"after {attempt} attempts of {handler}")
                    raise
            else:
                return
            await asyncio.sleep(jitter(retries.pause_after(attempt)))
            attempt += 1
            work = again()
    finally:
        if inspect.iscoroutine(work):
            work.close()


async def _limited(work: Any, timeout: float | None, context: StateContext, handler: str) -> None:
    """Await work that must end within a timeout.

    Raises:
        StateTimeout: it was cut off, whatever it made of its cancellation.
    """
    if timeout is None:
        await work
        return
    scope = asyncio.timeout(timeout)
    cause: Exception | None = None
    try:
        async with scope:
            await work
    except Exception as error:
        if not scope.expired():
            raise
        cause = error
    if scope.expired():
        raise StateTimeout(context.state, handler, timeout, machine=context.machine_id) from cause

"""A machine to try out: quiet, and with an event loop in a thread of its own.

Its async handlers work on in that loop while the command waits for its next line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from machine.cli.load import CommandError, Loaded
from machine.core.machine import Machine
from machine.errors import MachineError
from machine.texts import error_text, text_of

__all__ = ["asking", "described", "trial"]


@contextlib.contextmanager
def trial(loaded: Loaded) -> Iterator[Machine[Any]]:
    """Make the machine, and dispose of it at the end.

    Raises:
        CommandError: its class cannot be called.
    """
    with _quiet(), _loop() as loop:
        machine = _made(loaded, loop)
        try:
            yield machine
        finally:
            with contextlib.suppress(Exception):  # of its handlers, with catch=False
                machine.dispose()


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Ask a machine whose handlers may raise, with catch=False.

    Raises:
        CommandError: one has raised.
    """
    try:
        yield
    except (CommandError, MachineError):
        raise
    except Exception as error:
        raise CommandError(f"a handler raised {described(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log of the machine: errors are printed with the lines that led to them."""
    log = logging.getLogger("machine")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


@contextlib.contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="machine", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(2.0)
        if not thread.is_alive():
            with contextlib.suppress(RuntimeError):
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def _made(loaded: Loaded, loop: asyncio.AbstractEventLoop) -> Machine[Any]:
    async def make() -> Machine[Any]:
        try:
            return loaded.make()
        except (SystemExit, KeyboardInterrupt) as error:  # they would end the loop's thread
            raise CommandError(f"the machine cannot be made: {described(error)}") from error

    try:
        return asyncio.run_coroutine_threadsafe(make(), loop).result()
    except (CommandError, MachineError):
        raise
    except Exception as error:
        raise CommandError(f"the machine cannot be made: {described(error)}") from error


def described(error: BaseException) -> str:
    """Return the class of an error and its text."""
    return error_text(error) if text_of(error) else type(error).__name__

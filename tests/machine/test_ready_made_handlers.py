"""The orderly end of a machine, and its kinds of errors."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from machine import InvalidArgument, Machine, NoEventLoop
from machine.ready_made import Connected, Disposed
from machine.ready_made_handlers import (
    DisposedHandlers,
    add_err_connecting,
    add_err_handler_timeout,
    add_err_network,
    dispose,
    dispose_with,
)

AnyMachine = Machine[Any]


class App(DisposedHandlers, Machine[Disposed]):
    """A machine that ends in order."""


def make(schema: Any, **options: Any) -> AnyMachine:
    return Machine(schema, **options)


# -- Disposed ----------------------------------------------------------------------------


async def test_what_was_registered_is_disposed_first_the_last_one_first() -> None:
    app = App()
    log: list[str] = []

    async def close() -> None:
        log.append("closing")
        await asyncio.sleep(0)
        log.append(f"closed while Disposing {app.is_('Disposing')}")

    app.add("Start")
    for function in (lambda: log.append("first"), close):
        assert app.add("RegisterDisposal", args={"dispose": function}).executed
    assert app.not_("RegisterDisposal")
    app.add("Disposing")
    assert not app.disposed
    assert app.not_("Start")
    await asyncio.wait_for(app.when_disposed(), 5)
    assert log == ["closing", "closed while Disposing True", "first"]
    assert app.disposed


def test_without_a_loop_it_is_done_at_once() -> None:
    app = App()
    log: list[int] = []

    async def never() -> None:
        raise AssertionError

    for number in range(3):
        app.add("RegisterDisposal", args={"dispose": lambda number=number: log.append(number)})
    app.add("RegisterDisposal", args={"dispose": never})
    app.add("Disposing")
    assert app.disposed
    assert log == [2, 1, 0]
    assert isinstance(app.err, NoEventLoop)


async def test_one_that_fails_does_not_stop_the_others() -> None:
    app = App()
    log: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("closing")

    def raises() -> None:
        raise KeyError("plain")

    for function in (lambda: log.append("first"), fails, raises, lambda: log.append("last")):
        app.add("RegisterDisposal", args={"dispose": function})
    app.add("Disposing")
    await asyncio.wait_for(app.when_disposed(), 5)
    assert log == ["last", "first"]
    assert isinstance(app.err, ValueError)


@pytest.mark.parametrize("state", ["Disposing", ""])
@pytest.mark.parametrize("is_async", [False, True])
async def test_one_that_is_cancelled_does_not_stop_the_others(state: str, is_async: bool) -> None:
    app = App()
    called: asyncio.Queue[str] = asyncio.Queue()

    def cancelled() -> None:
        called.put_nowait("cancelled")
        raise asyncio.CancelledError

    async def awaits_what_it_cancelled() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        called.put_nowait("cancelled")
        await task

    for function in (
        lambda: called.put_nowait("first"),
        awaits_what_it_cancelled if is_async else cancelled,
        lambda: called.put_nowait("last"),
    ):
        app.add("RegisterDisposal", args={"dispose": function})
    if state:
        app.add(state)
    else:
        app.dispose()
    await asyncio.wait_for(app.when_disposed(), 5)
    names = [await asyncio.wait_for(called.get(), 5) for _ in range(3)]
    assert sorted(names) == ["cancelled", "first", "last"]


def test_only_functions_are_registered() -> None:
    app = App()
    assert app.add("RegisterDisposal").canceled
    assert app.add("RegisterDisposal", args={"dispose": 5}).canceled
    assert not app.is_err


async def test_disposing_that_is_taken_back() -> None:
    app = App()
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.sleep(60)

    app.add("RegisterDisposal", args={"dispose": slow})
    app.add("Disposing")
    await began.wait()
    app.remove("Disposing")
    await asyncio.sleep(0)
    assert not app.disposed
    assert app.err is None


async def test_disposed_in_another_way() -> None:
    """Nobody waits for the functions then, but they are called."""
    app = App()
    done = asyncio.Event()
    log: list[int] = []

    async def close() -> None:
        done.set()

    app.add("RegisterDisposal", args={"dispose": close})
    app.add("RegisterDisposal", args={"dispose": lambda: log.append(1)})
    app.dispose()
    assert log == [1]
    await asyncio.wait_for(done.wait(), 5)


def test_the_handlers_can_be_bound_instead() -> None:
    handlers = DisposedHandlers()
    machine = make(Disposed, handlers=handlers)
    other = make(Disposed, handlers=handlers)
    log: list[int] = []
    machine.add("RegisterDisposal", args={"dispose": lambda: log.append(1)})
    other.add("Disposing")
    assert log == []
    machine.add("Disposing")
    assert log == [1]


# -- dispose_with, dispose ---------------------------------------------------------------


def test_machines_end_together() -> None:
    app, plain, other = App(), make("A"), make("A")
    log: list[int] = []
    dispose_with(app, plain)
    dispose_with(plain, other)
    dispose_with(other, lambda: log.append(1))
    dispose(app)
    assert app.disposed
    assert plain.disposed
    assert other.disposed
    assert log == [1]
    dispose_with(plain, lambda: log.append(2))
    assert log == [1, 2]


async def test_async_functions_need_somebody_to_await_them() -> None:
    async def close() -> None:
        log.append(1)

    log: list[int] = []
    app, plain = App(), make("A")
    dispose_with(app, close)
    with pytest.raises(InvalidArgument, match="nobody would await"):
        dispose_with(plain, close)
    with pytest.raises(InvalidArgument, match="no function"):
        dispose_with(plain, 5)  # type: ignore[arg-type]
    app.bind({"RegisterDisposalEnter": lambda: False})
    with pytest.raises(InvalidArgument, match="rejected"):
        dispose_with(app, close)
    dispose(app)
    await asyncio.wait_for(app.when_disposed(), 5)
    assert log == [1]


def test_states_without_handlers_are_no_way_to_end() -> None:
    machine = make(Disposed)
    dispose(machine)
    assert machine.disposed


async def test_disposing_from_another_thread() -> None:
    app = App()
    threads: list[int] = []

    async def close() -> None:
        threads.append(threading.get_ident())

    dispose_with(app, close)
    await asyncio.to_thread(dispose, app)
    await asyncio.wait_for(app.when_disposed(), 5)
    assert threads == [threading.get_ident()]


# -- errors ------------------------------------------------------------------------------


def test_kinds_of_errors() -> None:
    machine = make(Connected)
    for add, state in (
        (add_err_network, "ErrNetwork"),
        (add_err_connecting, "ErrConnecting"),
        (add_err_handler_timeout, "ErrHandlerTimeout"),
    ):
        error = OSError(state)
        assert add(machine, error, args={"n": 1}).executed
        assert machine.is_(state, "Exception")
        assert machine.err is error
    machine.remove("Exception")
    assert machine.active == ("Disconnected",)

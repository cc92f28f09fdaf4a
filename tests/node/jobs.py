"""Kinds of workers for the tests; their processes import this module."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import grid
import node
from machine import state

peer = grid.Server()  # never started: the tests offer these functions at peers of their own


@node.worker(peer, "square")
def square(number: int) -> int:
    """The square of a number."""
    return number * number


@node.worker(peer, "whoami")
def whoami(seconds: float | None) -> dict[str, Any]:
    """The process that ran the job, its folder for temporary files, and the attempt."""
    time.sleep(seconds or 0)
    return {
        "pid": os.getpid(),
        "folder": tempfile.tempdir,
        "attempt": node.job().attempt,
        "worker": node.job().worker,
    }


@node.worker(peer, "fragile")
def fragile(order: dict[str, Any]) -> Any:
    """Do what the order says, in the first attempts only if it has `until`."""
    print("an order:", order)
    if node.job().attempt < order.get("until", 1_000_000):
        match order.get("do"):
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(order["code"])
            case "raise":
                raise ValueError(order["text"])
            case "hang":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "hoard":
                hoard = bytearray(os.urandom(1 << 20) * 400)
                time.sleep(60)
                return len(hoard)
            case "sleep":
                time.sleep(order["seconds"])
            case "object":
                return object()
    return [order.get("value"), node.job().attempt]


@node.worker(peer, "steps", concurrency=4)
async def steps(count: int) -> int:
    """Reports each step."""
    for number in range(count):
        node.job().progress((number + 1) / count, f"step {number + 1}")
        await asyncio.sleep(0.001)
    return count


@node.worker(peer, "odd_ends")
async def odd_ends(how: str) -> str:
    """Ends in a way that an event loop takes for its own."""
    match how:
        case "cancelled":
            waiting = asyncio.get_running_loop().create_future()
            waiting.cancel()
            await waiting
        case "cancels itself":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        case "exits":
            raise SystemExit(7)
        case "cancels itself at its end":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        case _:
            _raise_odd(how)
    return how


@node.worker(peer, "surrogate")
def surrogate(how: str) -> Any:
    """Raises an odd error, or returns what cannot be sent."""
    match how:
        case "huge":
            return 10**100_000
        case "deep":
            value: Any = 1
            for _ in range(40):
                value = {"in": value}
            return value
        case "broken mapping":
            return BrokenMapping(a=1)
    _raise_odd(how)
    return how


class BrokenMapping(dict[str, int]):
    """A mapping whose items cannot be had."""

    def items(self) -> Any:
        raise RuntimeError("no items")


class NoText(Exception):
    """An error that ends whoever asks for its text."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


def _raise_odd(how: str) -> None:
    match how:
        case "no text":
            raise ValueError("\ud800")
        case "exits at its text":
            raise NoText
        case "raises CancelledError":
            raise asyncio.CancelledError
        case "interrupted":
            raise KeyboardInterrupt
        case "closed":
            raise GeneratorExit


@node.worker(peer, "rough")
def rough(order: dict[str, Any]) -> Any:
    """Jobs that workers must bear."""
    match order["do"]:
        case "sleep":
            node.job().progress(0.0)
            time.sleep(order["seconds"])
        case "hold":  # the interpreter's lock
            ctypes.PyDLL(None).usleep(int(1e6 * order["seconds"]))
        case "input":
            return input()
        case "cat":
            return subprocess.run(["cat"], capture_output=True, check=True).stdout
        case "start":
            return subprocess.Popen(["sleep", "600"]).pid
        case "leave":
            os._exit(4)
        case "end the thread":  # once this job is done
            arguments = (threading.get_ident(), order["mark"])
            threading.Timer(0.2, _end_thread, arguments).start()
        case _:
            return [*_rougher(order), node.job().attempt]
    return [os.getpid(), node.job().attempt]


def _rougher(order: dict[str, Any]) -> list[Any]:
    match order["do"]:
        case "terminate":  # a process that it has forked
            return [os.getpid(), _terminated()]
        case "interrupt":  # a program that it has started
            program = "import time; print(flush=True); time.sleep(600)"
            started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
            assert started.stdout is not None
            with started, started.stdout:
                started.stdout.readline()
                started.send_signal(signal.SIGINT)
                return [os.getpid(), _ended(started.wait, started.kill)]
        case "report":  # all the time; the memory that it takes, in MiB
            before = _peak()
            for number in range(order["times"]):
                node.job().progress(number / order["times"], f"report {number}")
            return [_peak() - before]
    return [os.getpid()]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _terminated() -> int | None:
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    child = context.Process(target=_begin_and_sleep, args=(begun,))
    child.start()
    begun.wait()
    child.terminate()
    child.join(10)
    code = child.exitcode
    child.kill()
    child.join()
    return code


def _begin_and_sleep(begun: Any) -> None:
    begun.set()
    time.sleep(600)


def _ended(wait: Any, kill: Any) -> int | None:
    try:
        code: int = wait(10)
    except subprocess.TimeoutExpired:
        kill()
        return None
    return code


def _end_thread(number: int, mark: str) -> None:
    error = ctypes.py_object(SystemExit)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(number), error)
    Path(mark).touch()


@node.worker(peer, "waiter", concurrency=4)
async def waiter(what: str) -> Any:
    """Waits for ever, and notes that it was cancelled."""
    if what in ("wait", "ignore"):
        node.job().progress(0.0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(what)
            if what == "ignore":
                await asyncio.Event().wait()
            raise
    if what == "block":
        time.sleep(6)  # noqa: ASYNC251 - the loop must not have its turn
    return [os.getpid(), cancelled]


cancelled: list[str] = []


@node.worker(peer, "thinker")
class Thinker(node.WorkerMachine[node.WorkerStates]):
    """A machine with a plain job, in a thread."""

    def work(self, input: float) -> int:
        """Sleep for some seconds, or fail in an odd way."""
        if isinstance(input, str):
            _raise_odd(input)
        node.job().progress(0.0)
        time.sleep(input)
        return os.getpid()


@node.worker(peer, "squarer")
class Squarer(node.WorkerMachine[node.WorkerStates]):
    """A machine that sends its result as a payload, too."""

    async def work(self, input: int) -> int:
        """The square of a number; none of 13, and an object for those below 0."""
        if input == 13:
            raise ValueError("not that one")
        if input < 0:
            return object()  # type: ignore[return-value]
        self.send_payload("square", str(input * input).encode())
        return input * input


class StepStates(node.WorkerStates):
    """The states of a machine with a state of its own."""

    Checking = state(require=node.WorkerStates.Working)


@node.worker(peer, "stepper")
class Stepper(node.WorkerMachine[StepStates]):
    """A machine that moves on by itself, and takes even numbers only."""

    def WorkRequestedEnter(self, input: int = 0) -> bool:
        return input % 2 == 0

    async def WorkingState(self, input: Any = None) -> None:
        if input == 0:
            self.add_err_state("ErrWork", StopIteration("no more"))
        elif input < 0:
            self.add("ErrWork", args={"error": "a text"})
        else:
            self.add("Checking", args={"input": input})

    def CheckingState(self, input: int) -> None:
        self.finish(input // 2)


@node.worker(peer, "dozer")
class Dozer(node.WorkerMachine[node.WorkerStates]):
    """A machine that sleeps, and serves each client at its second try only."""

    refused: ClassVar[set[str]] = set()

    def ServeClientEnter(self, client: str) -> bool:
        known = client in self.refused
        self.refused.add(client)
        return known

    async def work(self, input: float) -> float:
        """Sleep for some seconds."""
        await asyncio.sleep(input)
        return input


@node.worker(peer, "broken")
def broken(_: Any) -> None:
    """Nothing; the test makes it fail at its start."""


if os.environ.get("TEST_BREAK_WORKERS") and __name__ != "__main__":
    raise RuntimeError("this code is broken on purpose")

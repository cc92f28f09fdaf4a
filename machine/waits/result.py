"""Results of mutations."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NoReturn

from machine.errors import InvalidArgument
from machine.waits.wait import Wait

MYPY = False  # which mypy takes for True

__all__ = ["CANCELED", "EXECUTED", "Rejected", "Result"]


class Result:
    """The result of a mutation: exactly one of `executed`, `canceled` and `queued` is true.

    A queued one has been accepted and runs after those that are before it in the
    queue; `await result` (or `result.wait()` in a thread) gives its final
    result. Not from inside a handler of the same machine: the queue goes on only
    after the handler.

    Attributes:
        executed: it ran, and the called states are as it wants them.
        canceled: relations or a handler rejected it, a handler failed, or it was not taken.
        queued: it has not run yet.
        tick: 0 executed, 1 canceled; of a queued one the queue tick at which it
            will have run, for `when_queue`.
    """

    __slots__ = ("_final", "_wait", "canceled", "executed", "queued", "tick")

    def __init__(self, tick: int, wait: Wait | None = None) -> None:
        self.tick: int = tick
        self.executed: bool = tick == 0
        self.canceled: bool = tick == 1
        self.queued: bool = tick > 1
        self._wait = wait
        self._final: Result | None = None

    def __repr__(self) -> str:
        return f"<Result {self}>"

    def __str__(self) -> str:
        return "executed" if self.executed else "canceled" if self.canceled else "queued"

    # Hidden from mypy: of a method that never returns it concludes that the code behind
    # `if machine.add(...)` cannot be reached, and checks none of it. Without the method its error
    # code truthy-bool reports the condition. Other checkers see NoReturn, and report it, too.
    if not MYPY:

        def __bool__(self) -> NoReturn:
            raise InvalidArgument(
                "a Result is neither true nor false",
                hint="Ask for .executed, .canceled or .queued.",
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return self.tick == other.tick

    def __hash__(self) -> int:
        return hash(self.tick)

    @property
    def done(self) -> bool:
        """True once the final result is known."""
        return not self.queued or self._final is not None

    @property
    def final(self) -> Result:
        """The final result; itself while that is not known."""
        return self if self._final is None else self._final

    @property
    def rejected_by(self) -> str:
        """The name of the handler that rejected it or failed, or "relations".

        Of a mutation that was not accepted at all a `DropReason`, such as
        "queue full"; "" if it is not canceled, or not known yet.
        """
        return "" if self._final is None else self._final.rejected_by

    @property
    def why(self) -> str:
        """The reason of a rejection in words, such as "Shipped requires Paid"; else ""."""
        return "" if self._final is None else self._final.why

    @property
    def what(self) -> str:
        """The awaited mutation, in words."""
        return "a mutation to run" if self._wait is None else self._wait.what

    def __await__(self) -> Generator[object, None, Result]:
        if self.queued and self._final is None and self._wait is not None:
            yield from self._wait.__await__()
        return self.final

    def wait(self, timeout: float | None = None) -> Result:
        """Block this thread until it has run, and return the final result.

        Raises:
            WaitTimeout: it did not run within `timeout` seconds.
        """
        if self.queued and self._final is None and self._wait is not None:
            self._wait.wait(timeout)
        return self.final

    def _settle(self, final: Result) -> None:
        self._final = final
        if self._wait is not None:
            self._wait._resolve()


class Rejected(Result):
    """The result of a mutation that was rejected, with the reason.

    Args:
        by: the handler, "relations", or the reason why it was not accepted.
        why: makes the words, when they are asked for.
    """

    __slots__ = ("_by", "_why")

    def __init__(self, by: str, why: Callable[[], str]) -> None:
        super().__init__(1)
        self._by = by
        self._why = why

    @property
    def rejected_by(self) -> str:
        """The name of the handler, "relations", or a `DropReason`."""
        return self._by

    @property
    def why(self) -> str:
        """The reason in words."""
        return self._why()


EXECUTED = Result(0)
CANCELED = Result(1)

"""Every error of this package: one root, and a class for each cause.

Each error knows, where it applies, the machine's id, the state, the handler's name and the source
event, and its text ends with the next step to take. All of them can be pickled.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "EvalTimeout",
    "HandlerTimeout",
    "HistoryError",
    "ImportMismatch",
    "InvalidArgument",
    "InvalidHandler",
    "MachineDisposed",
    "MachineError",
    "MissingExtra",
    "MutationLoop",
    "NoEventLoop",
    "Problem",
    "SchemaError",
    "StateTimeout",
    "UnknownState",
    "WaitTimeout",
    "describe_kind",
    "did_you_mean",
    "near_names",
]


def near_names(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Names of `known` that are spelt like `name`, best first."""
    names = list(dict.fromkeys(known))
    if same := [one for one in names if _are_alike(one, name)]:
        return tuple(same[:limit])
    lowered: dict[str, str] = {}
    for one in names:
        lowered.setdefault(one.lower(), one)
    close = difflib.get_close_matches(name.lower(), lowered, n=limit, cutoff=0.6)
    return tuple(lowered[one] for one in close)


def _are_alike(one: str, other: str) -> bool:
    """True for two names that differ in their Unicode form alone, so that they look the same."""
    forms = {unicodedata.normalize("NFKC", name) for name in (one, other)}
    return one != other and len(forms) == 1


def did_you_mean(near: Iterable[str], name: str = "") -> str:
    """`"; did you mean 'A' or 'B'?"`, or nothing; for another Unicode form of `name` a remedy."""
    near = tuple(near)
    if near and _are_alike(near[0], name):
        return (
            f"; there is {near[0]!a}, the same letters in another Unicode form than {name!a}: "
            "pass both through unicodedata.normalize('NFC', name)."
        )
    names = [repr(one) for one in near]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def describe_kind(value: object) -> str:
    """The type of a wrong argument; for a class its name, and that an instance is wanted."""
    if isinstance(value, type):
        return f"the class {value.__name__}; make an instance: {value.__name__}(...)"
    return type(value).__name__


class MachineError(Exception):
    """The root of all errors of this package.

    `text` is the failure, `hint` the next step to take. `machine`, `state`, `handler` and `source`
    are None where they do not apply.
    """

    def __init__(
        self,
        text: str = "",
        *,
        machine: str | None = None,
        state: str | None = None,
        handler: str | None = None,
        source: object | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.machine = machine
        self.state = state
        self.handler = handler
        self.source = source
        self.hint = hint

    def __str__(self) -> str:
        where = f"[{self.machine}] " if self.machine else ""
        if not self.hint:
            return f"{where}{self.text}"
        stop = "" if self.text.endswith((".", "?", "!", ":")) else "."
        return f"{where}{self.text}{stop} {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, dict(self.__dict__))


def _restore(
    kind: type[MachineError], args: tuple[object, ...], fields: dict[str, object]
) -> MachineError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a schema; "" where `relation` or `other` do not apply."""

    code: str
    state: str = ""
    relation: str = ""
    other: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class SchemaError(MachineError, ValueError):
    """A definition of states cannot work. `problems` holds all that is wrong with it."""

    problems: tuple[Problem, ...]

    def __init__(
        self,
        problems: Iterable[Problem] | Problem | str,
        *,
        place: str = "",
        machine: str | None = None,
    ) -> None:
        if isinstance(problems, str):
            problems = (Problem("schema", text=problems),)
        elif isinstance(problems, Problem):
            problems = (problems,)
        self.problems = tuple(problems)
        self.place = place
        where = f" in {place}" if place else ""
        if len(self.problems) == 1:
            text = f"invalid schema{where}: {self.problems[0].text}"
        else:
            lines = "".join(f"\n  - {problem.text}" for problem in self.problems)
            text = f"invalid schema{where}, {len(self.problems)} problems:{lines}"
        state = next((problem.state for problem in self.problems if problem.state), None)
        super().__init__(text, machine=machine, state=state)


class UnknownState(MachineError, KeyError):
    """A state that the schema does not define. `near` has names that may have been meant."""

    def __init__(
        self,
        state: str,
        machine: str | None = None,
        near: Iterable[str] = (),
        *,
        known: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        self.near: tuple[str, ...] = tuple(near) or near_names(state, known)
        super().__init__(
            f"unknown state {state!r}{did_you_mean(self.near, state)}",
            machine=machine,
            state=state,
            hint=hint if hint or self.near else "Define it in the schema, or check the spelling.",
        )


class InvalidArgument(MachineError, ValueError):
    """A call was given something it cannot take. `argument` is the parameter's name."""

    def __init__(
        self,
        text: str,
        *,
        argument: str | None = None,
        machine: str | None = None,
        state: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.argument = argument
        super().__init__(text, machine=machine, state=state, hint=hint)


class InvalidHandler(MachineError, ValueError):
    """A handler cannot be bound: it names no state, or has a form that cannot be served."""

    def __init__(
        self,
        text: str,
        *,
        handler: str | None = None,
        machine: str | None = None,
        state: str | None = None,
        near: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        self.near: tuple[str, ...] = tuple(near)
        super().__init__(
            f"{text}{did_you_mean(self.near, state or '')}",
            machine=machine,
            state=state,
            handler=handler,
            hint=hint,
        )


class HandlerTimeout(MachineError, TimeoutError):
    """A handler took longer than it may; its transition was canceled or repaired."""

    def __init__(
        self,
        handler: str,
        timeout: float,
        *,
        machine: str | None = None,
        state: str | None = None,
        source: object | None = None,
        hint: str | None = None,
    ) -> None:
        self.timeout = timeout
        super().__init__(
            f"handler {handler} took longer than {timeout:g} s.",
            machine=machine,
            state=state,
            handler=handler,
            source=source,
            hint=hint or "Move the slow part to an async State handler, or raise handler_timeout.",
        )


class StateTimeout(MachineError, TimeoutError):
    """The async work of a state took longer than the state's timeout, and was cancelled."""

    def __init__(
        self, state: str, handler: str, timeout: float, *, machine: str | None = None
    ) -> None:
        self.timeout = timeout
        super().__init__(
            f"{handler}, the work of {state}, took longer than {timeout:g} s.",
            machine=machine,
            state=state,
            handler=handler,
            hint="Declare a longer timeout= of the state, or retry= to try again.",
        )


class EvalTimeout(MachineError, TimeoutError):
    """A function given to eval was not run, or did not end, in time."""

    def __init__(self, name: str, timeout: float, *, machine: str | None = None) -> None:
        self.name = name
        self.timeout = timeout
        super().__init__(
            f"eval {name!r} did not end within {timeout:g} s.",
            machine=machine,
            hint="Find the handler that keeps the queue busy, or give a longer timeout.",
        )


class MutationLoop(MachineError, RuntimeError):
    """Handlers kept causing new mutations without an end. `cycle` has the last ones, as texts."""

    def __init__(
        self,
        text: str,
        *,
        cycle: Iterable[str] = (),
        machine: str | None = None,
        state: str | None = None,
        handler: str | None = None,
        source: object | None = None,
    ) -> None:
        self.cycle: tuple[str, ...] = tuple(cycle)
        shown = f" ({' -> '.join(self.cycle)})" if self.cycle else ""
        super().__init__(
            f"{text}{shown}",
            machine=machine,
            state=state,
            handler=handler,
            source=source,
            hint="Let one of these handlers check the state before it mutates.",
        )


class MachineDisposed(MachineError, RuntimeError):
    """The machine was disposed, before or while this call waited."""

    def __init__(self, machine: str | None = None, text: str = "", *, hint: str = "") -> None:
        super().__init__(
            text or "the machine was disposed.",
            machine=machine,
            hint=hint or "Make a new machine; a disposed one does not come back.",
        )


class WaitTimeout(MachineError, TimeoutError):
    """A wait was not done in time. It stays open and can be awaited again."""

    def __init__(
        self,
        what: str,
        timeout: float,
        *,
        machine: str | None = None,
        state: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.timeout = timeout
        super().__init__(
            f"{what} did not happen within {timeout:g} s.",
            machine=machine,
            state=state,
            hint=hint or "Wait longer, or look at machine.string_all() and machine.queue.",
        )


class NoEventLoop(MachineError, RuntimeError):
    """An async handler, or an await, needs a running event loop; this thread has none."""

    def __init__(
        self,
        text: str = "there is no running event loop.",
        *,
        machine: str | None = None,
        state: str | None = None,
        handler: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            text,
            machine=machine,
            state=state,
            handler=handler,
            hint=hint or "Make and use the machine inside asyncio.run(...).",
        )


class ImportMismatch(MachineError, ValueError):
    """A snapshot does not fit this machine; `missing` and `unexpected` are state names."""

    def __init__(
        self,
        text: str,
        *,
        machine: str | None = None,
        missing: Iterable[str] = (),
        unexpected: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        self.missing: tuple[str, ...] = tuple(missing)
        self.unexpected: tuple[str, ...] = tuple(unexpected)
        parts = [text]
        if self.missing:
            parts.append(f"missing: {', '.join(self.missing)}.")
        if self.unexpected:
            parts.append(f"unexpected: {', '.join(self.unexpected)}.")
        super().__init__(
            " ".join(parts),
            machine=machine,
            hint=hint or "Import it into a machine with the schema it was exported from.",
        )


class HistoryError(MachineError, OSError):
    """The file of a history cannot be opened, read or written. `path` is the file."""

    def __init__(self, text: str, path: str = "", *, hint: str | None = None) -> None:
        self.path = path
        super().__init__(text, hint=hint)


class MissingExtra(MachineError, ImportError):
    """An optional dependency is not installed. `extra` is the name to install it by."""

    def __init__(self, package: str, extra: str, purpose: str = "") -> None:
        self.package = package
        self.extra = extra
        need = f" for {purpose}" if purpose else ""
        super().__init__(
            f"{package} is needed{need} and not installed.",
            hint=f"Install it with: pip install 'actor-grid[{extra}]'",
        )

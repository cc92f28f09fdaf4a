"""Definitions of kinds of workers, by which a worker's process finds its code again.

A definition is made when the module with the decorated function is imported. A worker's process
imports that module and asks for the kind; nothing is pickled.
"""

from __future__ import annotations

import importlib
import inspect
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid.errors import InvalidArgument
from grid.registry.names import check_name
from node.names import LONGEST_KIND
from node.settings import PoolSettings
from node.worker.machine import WorkerMachine

__all__ = [
    "Origin",
    "WorkerDefinition",
    "check_kind",
    "definition_of",
    "load",
    "register",
]

_AS_WORKER = "__worker__"  # the name of a script's module in the processes of its workers

_definitions: dict[str, WorkerDefinition] = {}


@dataclass(frozen=True, slots=True)
class Origin:
    """Place of a worker's code.

    Attributes:
        module: the name of its module; empty for a script.
        path: the file of a script; empty for a module.
    """

    module: str
    path: str


@dataclass(frozen=True, slots=True)
class WorkerDefinition:
    """Definition of the workers of one kind.

    Attributes:
        kind: its name.
        function: runs one job, from its input to its result; or the class of a machine.
        settings: of the pool.
        origin: where the function is defined.
    """

    kind: str
    function: Callable[[Any], Any]
    settings: PoolSettings
    origin: Origin

    @property
    def is_machine(self) -> bool:
        """True if workers of the kind are machines of a class."""
        return inspect.isclass(self.function)

    @property
    def is_async(self) -> bool:
        """True if jobs run on the worker's event loop, not in its thread."""
        return inspect.iscoroutinefunction(self.function)


def check_kind(kind: object) -> str:
    """The kind itself. Raises `InvalidName` or `InvalidArgument` if it cannot be one."""
    if not isinstance(kind, str):
        raise InvalidArgument(
            "the kind of workers", kind, "a name, as in @node.worker(peer, 'sum')"
        )
    check_name(kind, "kind")
    if len(kind) > LONGEST_KIND:
        raise InvalidArgument("the kind of workers", kind, f"of {LONGEST_KIND} characters at most")
    return kind


def register(kind: str, function: Callable[[Any], Any], settings: PoolSettings) -> WorkerDefinition:
    """Define the workers of a kind in this process.

    Raises:
        InvalidArgument: it is not a function of one input, its process would not find it, or its
            module has another one of that kind.
    """
    check_kind(kind)
    _check_function(kind, function, settings)
    found = WorkerDefinition(kind, function, settings, _origin(kind, function, settings))
    former = _definitions.get(kind)
    if former is not None and former.origin == found.origin:
        first, second = former.function.__qualname__, function.__qualname__
        if first != second:  # the same name: its module was loaded once more
            raise InvalidArgument(
                f"the worker {kind!r}", f"{second} beside {first}", "the only one of its module"
            )
    _definitions[kind] = found
    return found


def definition_of(kind: str) -> WorkerDefinition | None:
    """The definition of a kind in this process; None if there is none."""
    return _definitions.get(kind)


def load(kind: str, origin: Origin) -> WorkerDefinition:
    """Import a worker's code and return the definition of its kind.

    Raises:
        LookupError: the code does not define the kind.
        And what the import raises.
    """
    if origin.path:
        names = runpy.run_path(origin.path, run_name=_AS_WORKER)
        module = type(sys)(_AS_WORKER)
        module.__dict__.update(names)
        sys.modules[_AS_WORKER] = module
    else:
        importlib.import_module(origin.module)
    found = _definitions.get(kind)
    if found is None:
        place = origin.path or origin.module
        raise LookupError(f"{place} does not define workers of kind {kind!r} when it is imported")
    return found


def _check_function(kind: str, function: Any, settings: PoolSettings) -> None:
    what = f"the worker {kind!r}"
    if inspect.isclass(function):
        _check_class(what, function, settings)
        return
    generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if not inspect.isroutine(function) or generates:
        raise InvalidArgument(what, function, "a function of one input or a node.WorkerMachine")
    if inspect.isbuiltin(function):  # no module of the user's defines it, so no process finds it
        raise InvalidArgument(what, function, "a function of one input that is written in Python")
    try:
        inspect.signature(function).bind(None)
    except ValueError:
        raise InvalidArgument(what, function, "a function with a signature") from None
    except TypeError:
        raise InvalidArgument(
            what, f"{function.__name__}{inspect.signature(function)}", "a function of one input"
        ) from None
    if settings.concurrency > 1 and not inspect.iscoroutinefunction(function):
        raise InvalidArgument("concurrency", settings.concurrency, "1 for a plain function")


def _check_class(what: str, cls: type, settings: PoolSettings) -> None:
    if not issubclass(cls, WorkerMachine):
        raise InvalidArgument(what, cls.__name__, "a function of one input or a node.WorkerMachine")
    try:
        inspect.signature(cls).bind(id="worker")
    except TypeError:
        raise InvalidArgument(what, cls.__name__, "a class that needs no arguments") from None
    if settings.concurrency > 1:
        raise InvalidArgument("concurrency", settings.concurrency, "1 for a machine")


def _origin(kind: str, function: Callable[[Any], Any], settings: PoolSettings) -> Origin:
    name = function.__module__
    if name == _AS_WORKER or settings.isolation == "task":
        return Origin(name, "")
    if name != "__main__":
        return Origin(name, "")
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package
        return Origin(spec.name, "")
    path = getattr(main, "__file__", None)
    if path is None:
        raise InvalidArgument(
            f"the module of the worker {kind!r}",
            "an interactive session",
            "a file, which its processes can import; or isolation='task'",
        )
    return Origin("", str(Path(path).resolve()))

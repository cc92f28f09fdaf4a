"""Arguments of the command: a schema in a file, on standard input, or in a Python module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from machine.core.machine import Machine, schema_of
from machine.errors import InvalidArgument, MachineError, did_you_mean, near_names
from machine.schema.schema import EXCEPTION, Schema, as_schema
from machine.schema.states import States
from machine.texts import error_text

__all__ = ["CommandError", "Loaded", "load"]


class CommandError(Exception):
    """An error that the user has to mend; its text is printed without a traceback."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A schema or machine that was found.

    Attributes:
        schema: its schema.
        what: the thing itself: a Schema, a States class, a Machine or a subclass of it.
        make: makes a machine of it; the machine itself if it is one.
    """

    schema: Schema
    what: object
    make: Callable[[], Machine[Any]]


def load(source: str) -> Loaded:
    """The schema that `source` names.

    Raises:
        CommandError: there is none.
        SchemaError, MissingExtra: it cannot be read.
    """
    if source == "-":
        return _of(_read(sys.stdin.read(), "", "standard input"), "machine")
    path = Path(source)
    whole = source.rstrip(":")
    if whole.endswith(".py") or (not path.exists() and _is_module(whole)):
        raise CommandError(_choices(_module(whole), whole))
    if path.is_file():
        return _of(_read(_text(path), path.suffix.lower(), source), path.stem)
    module, colon, name = source.rpartition(":")
    if colon and module:
        return _of(_attribute(_module(module), name, source), name)
    if path.exists():
        raise CommandError(f"{source} is not a file")
    raise CommandError(
        f"there is no file {source}; give a file, module:Name, or - for standard input"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# -- texts -------------------------------------------------------------------------------


def _read(text: str, suffix: str, place: str) -> Schema:
    readers = {
        ".json": Schema.from_json,
        ".yaml": Schema.from_yaml,
        ".yml": Schema.from_yaml,
        ".toml": _from_toml,
        ".txt": _from_short,
    }
    reader = readers.get(suffix) or readers[_guessed(text)]
    return reader(text, place=place)


def _guessed(text: str) -> str:
    """The suffix that a text without one should have."""
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("{"):
            return ".json"
        if line.startswith("["):
            return ".toml"
        return ".yaml" if line.partition("#")[0].rstrip().endswith(":") else ".txt"
    return ".txt"


def _from_toml(text: str, *, place: str) -> Schema:
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{place} cannot be read: {error}") from error
    return Schema.from_dict(data, place=place)


def _from_short(text: str, *, place: str) -> Schema:
    """The short form; lines that begin with # are comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    try:
        return Schema.parse("\n".join(lines))
    except InvalidArgument as error:
        raise CommandError(f"{place} cannot be read: {error}") from error


# -- modules -----------------------------------------------------------------------------


def _module(name: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _file_module(Path(name))
        if "" not in sys.path:
            sys.path.insert(0, "")
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise CommandError(
                f"there is no module {name}; is it in the current folder?"
            ) from error
        raise CommandError(f"importing {name} failed: {error}") from error
    except (CommandError, MachineError):
        raise
    except (Exception, SystemExit) as error:
        raise CommandError(f"importing {name} failed: {_told(error)}") from error


def _is_module(name: str) -> bool:
    """True for the name of a module that can be imported, and is not a module's attribute."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # its parent is no package, or has no spec
        return False


def _choices(module: ModuleType, source: str) -> str:
    """Say which names of a module can be given."""
    names = [
        f"{source}:{name}"
        for name, value in vars(module).items()
        if not name.startswith("_") and _is_defined_in(module, value)
    ]
    if not names:
        return f"{source} is a Python module, and there is no machine in it"
    return f"{source} is a Python module; name a machine in it: {', '.join(names)}"


def _is_defined_in(module: ModuleType, value: object) -> bool:
    if isinstance(value, Schema | Machine):
        return True
    if not isinstance(value, type) or value.__module__ != module.__name__:
        return False
    if issubclass(value, Machine):
        return schema_of(value).names != (EXCEPTION,)  # as of a base class without a schema
    return issubclass(value, States)


def _file_module(path: Path) -> ModuleType:
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    name = f"_{path.stem}" if path.stem in sys.modules else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{path} is no Python module")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _told(error: BaseException) -> str:
    """An error with the place where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
    return f"{error_text(error)}{place}"


def _attribute(module: ModuleType, name: str, source: str) -> object:
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = did_you_mean(near_names(part, _candidates(found)))
            raise CommandError(f"{source}: there is no {part!r} in {_called(found)}{near}")
        found = getattr(found, part)
    return found


def _candidates(place: object) -> list[str]:
    return [name for name in dir(place) if not name.startswith("_")]


def _called(place: object) -> str:
    return str(getattr(place, "__name__", place))


# -- things ------------------------------------------------------------------------------


def _of(what: object, name: str) -> Loaded:
    if isinstance(what, Machine):
        return Loaded(what.schema, what, lambda: what)
    if isinstance(what, type) and issubclass(what, Machine):
        return Loaded(schema_of(what), what, what)
    if isinstance(what, type) and not hasattr(what, "schema"):
        raise CommandError(f"{what.__name__} is neither a States class nor a Machine")
    try:
        schema = as_schema(what)
    except InvalidArgument as error:
        raise CommandError(f"this is no schema: {error}") from error
    return Loaded(schema, what, lambda: Machine(schema, id=name))

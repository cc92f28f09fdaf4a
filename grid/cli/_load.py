"""Servers from `module:attribute`, and the messages of modules."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from grid.cli._exits import BadInput
from grid.errors import GridError

if TYPE_CHECKING:
    from grid.server.server import Server

__all__ = ["TARGET_HELP", "CannotLoad", "import_module", "import_types", "load_server"]

TARGET_HELP = "a grid.Server, or a function that returns one; :server may be left out"


class CannotLoad(GridError):
    """There is no such module, or no server in it."""


def load_server(target: str) -> Server:
    """The server that `module:attribute` names.

    Errors of the module itself are raised as they are.

    Raises:
        BadInput: the text is not of that form.
        CannotLoad: there is no such module, or no server in it.
    """
    from grid.server.server import Server

    module_name, colon, attribute = target.partition(":")
    attribute = attribute or "server"
    if not module_name or (colon and not attribute.isidentifier()):
        raise BadInput(f"{target!r} is not module:server, for example examples.hello:server")
    module = import_module(module_name)
    if not hasattr(module, attribute):
        raise CannotLoad(f"{module_name} has no {attribute!r}{_servers_in(module)}")
    found = getattr(module, attribute)
    if isinstance(found, Server):
        return found
    if not callable(found):
        raise CannotLoad(f"{target} is {found!r}, which is not a grid.Server{_servers_in(module)}")
    if _takes_arguments(found) or inspect.iscoroutinefunction(found):
        raise CannotLoad(
            f"{target} is {_kind(found)}, perhaps an actor, and not a grid.Server"
            f"{_servers_in(module)}"
        )
    made = found()
    if not isinstance(made, Server):
        raise CannotLoad(
            f"{target} returned {made!r}, which is not a grid.Server{_servers_in(module)}"
        )
    return made


def _takes_arguments(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin without a signature
        return False
    return False


def _kind(found: object) -> str:
    return "a class" if inspect.isclass(found) else "a function"


def import_module(name: str) -> ModuleType:
    """A module, looked for in the current directory, too.

    Raises:
        CannotLoad: there is none of that name.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise BadInput(f"{name!r} is a file; name the module: {dotted}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise
        raise CannotLoad(f"there is no module {missing!r} in {here} or installed") from None


def import_types(proto_modules: list[str] | None, app: str | None) -> None:
    """Import the modules whose messages can then be named."""
    with contextlib.redirect_stdout(sys.stderr):  # an app may print; stdout is for the reply
        for module in (*(proto_modules or ()), *([app.partition(":")[0]] if app else ())):
            import_module(module)


def _servers_in(module: ModuleType) -> str:
    from grid.server.server import Server

    names = [name for name, value in vars(module).items() if isinstance(value, Server)]
    return "; it has " + ", ".join(names) if names else "; it has no grid.Server at all"

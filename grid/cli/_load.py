"""The server in `module:attribute`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from grid.cli._exits import BadInput
from grid.errors import GridError

if TYPE_CHECKING:
    from grid.server.server import Server

__all__ = ["TARGET_HELP", "CannotLoad", "import_module", "load_server"]

TARGET_HELP = (
    "Where the server is: a grid.Server, or a function that returns one. "
    "The attribute may be left out if it is 'server'."
)


class CannotLoad(GridError):
    """There is no such module, or no server in it."""


def load_server(target: str) -> Server:
    """The server that `module:attribute` names.

    What the module itself raises is raised as it is.

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
    made = found() if callable(found) and not isinstance(found, Server) else found
    if not isinstance(made, Server):
        what = f"returned {made!r}" if made is not found else f"is {made!r}"
        raise CannotLoad(f"{module_name}:{attribute} {what}, which is not a grid.Server")
    return made


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


def _servers_in(module: ModuleType) -> str:
    from grid.server.server import Server

    names = [name for name, value in vars(module).items() if isinstance(value, Server)]
    return "; it has " + ", ".join(names) if names else "; it has no grid.Server at all"

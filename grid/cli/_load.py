"""Servers from `module:attribute`, and the messages of modules."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from grid.cli._exits import BadInput
from grid.errors import GridError
from grid.signatures import needs_arguments

if TYPE_CHECKING:
    from grid.server.server import Server

__all__ = ["TARGET_HELP", "CannotLoad", "import_module", "import_types", "load_server"]

_IMPORTS = ("<frozen importlib", importlib.__file__)

TARGET_HELP = "a grid.Server, or a function that returns one; :server may be left out"


class CannotLoad(GridError):
    """There is no such module, or no server in it."""


def load_server(target: str) -> Server:
    """The server that `module:attribute` names.

    Raises:
        BadInput: the text is not of that form.
        CannotLoad: there is no such module, or no server in it; or its code fails, and the
            traceback is on stderr.
        GridError: the module raises it.
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
    if needs_arguments(found) or inspect.iscoroutinefunction(found):
        raise CannotLoad(
            f"{target} is {_kind(found)}, perhaps an actor, and not a grid.Server"
            f"{_servers_in(module)}"
        )
    try:
        made = found()
    except GridError:
        raise
    except Exception as error:  # noqa: BLE001 - of the app's own code
        _refuse(f"{target} has failed", error)
    if not isinstance(made, Server):
        raise CannotLoad(
            f"{target} returned {made!r}, which is not a grid.Server{_servers_in(module)}"
        )
    return made


def _kind(found: object) -> str:
    return "a class" if inspect.isclass(found) else "a function"


def import_module(name: str) -> ModuleType:
    """A module, looked for in the current directory, too.

    Raises:
        CannotLoad: there is none of that name, or its import fails; see `load_server`.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        raise BadInput(f"{name!r} is a file; name the module: {dotted}")
    if not all(name.split(".")):
        raise BadInput(f"{name!r} is not the name of a module, for example shop.app")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            _refuse(f"{name} cannot be imported", error)
        raise CannotLoad(f"there is no module {missing!r} in {here} or installed") from None
    except GridError:
        raise
    except Exception as error:  # noqa: BLE001 - of the module's own code
        _refuse(f"{name} cannot be imported", error)


def _refuse(text: str, error: Exception) -> NoReturn:
    """Print the traceback of an error in an app, and say what has failed.

    Raises:
        CannotLoad: always.
    """
    import traceback

    shown = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = shown
    while part is not None:
        own = [frame for frame in part.stack if not _is_ours(frame.filename)]
        part.stack = traceback.StackSummary.from_list(own)
        part = part.__cause__ or part.__context__
    sys.stderr.write("".join(shown.format()))
    raise CannotLoad(f"{text}, see above") from None


def _is_ours(filename: str) -> bool:
    """True for a file of the command, or of Python's own imports."""
    return filename.startswith(_IMPORTS) or Path(filename).parent == Path(__file__).parent


def import_types(proto_modules: list[str] | None, app: str | None) -> None:
    """Import the modules whose messages can then be named."""
    with contextlib.redirect_stdout(sys.stderr):  # an app may print; stdout is for the reply
        for module in (*(proto_modules or ()), *([app.partition(":")[0]] if app else ())):
            import_module(module)


def _servers_in(module: ModuleType) -> str:
    from grid.server.server import Server

    names = [name for name, value in vars(module).items() if isinstance(value, Server)]
    return "; it has " + ", ".join(names) if names else "; it has no grid.Server at all"

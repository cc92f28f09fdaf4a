"""Options that commands share, and commands built from functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from grid.cli._exits import BadInput, Code, exits
from grid.cli._help import CONNECTION, command_help
from grid.cli._output import Format
from grid.cli._values import choice, existing_file, seconds

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.etcd import EtcdConfig

__all__ = ["Connection", "Output", "build_command", "option"]

_ETCD = "127.0.0.1:2379"
_TIMEOUT = 10.0
_ETCD_PATIENCE = 3.0  # seconds: an etcd that is there answers in a few milliseconds


def option(*flags: str, help: str, env: str | None = None, **settings: Any) -> Any:  # noqa: A002
    """An option with a variable: `--etcd-ca` is also `GRID_ETCD_CA` unless `env` names another."""
    flag = next(flag for flag in flags if flag.startswith("--"))
    variable = env or "GRID_" + flag.partition("/")[0][2:].replace("-", "_").upper()
    settings.setdefault("show_default", False)
    return typer.Option(*flags, help=help, envvar=variable, **settings)


_connection = functools.partial(option, rich_help_panel=CONNECTION)


def _file(flag: str, help: str) -> Any:  # noqa: A002
    return _connection(flag, metavar="FILE", parser=existing_file(flag), help=help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The grid that a command is about. A field is None if it was not given."""

    etcd: Annotated[
        str | None, _connection("--etcd", metavar="HOST:PORT,...", help="endpoints of etcd")
    ] = None
    namespace: Annotated[
        str | None, _connection("--namespace", "-n", metavar="NAME", help="the grid")
    ] = None
    timeout: Annotated[
        float | None,
        _connection(
            "--timeout", metavar="SECONDS", parser=seconds("--timeout"), help="limit of a call"
        ),
    ] = None
    etcd_ca: Annotated[Path | None, _file("--etcd-ca", "authority of etcd (PEM)")] = None
    etcd_cert: Annotated[Path | None, _file("--etcd-cert", "own certificate (PEM)")] = None
    etcd_key: Annotated[Path | None, _file("--etcd-key", "key of the certificate (PEM)")] = None
    etcd_user: Annotated[str | None, _connection("--etcd-user", help="user at etcd")] = None
    etcd_password: Annotated[
        str | None, _connection("--etcd-password", help="password of the user")
    ] = None

    def client(self) -> Client:
        """A client of the grid."""
        from grid.client.client import Client
        from grid.registry.names import check_namespace

        namespace = check_namespace(self.namespace or "default")
        return Client(namespace, etcd=self.etcd_config(), timeout=self.seconds)

    @property
    def seconds(self) -> float:
        """Limit of a call in seconds."""
        return _TIMEOUT if self.timeout is None else self.timeout

    def etcd_config(self) -> EtcdConfig:
        """Configuration of the connection to etcd.

        Raises:
            InvalidAddress, BadInput: the options do not make sense.
        """
        from grid.etcd import EtcdConfig

        given = {**self._given(), "timeout": min(self.seconds, _ETCD_PATIENCE)}
        return self._checked(lambda: EtcdConfig.parse(self.etcd or _ETCD, **given))

    def over(self, config: EtcdConfig) -> EtcdConfig:
        """A configuration with the options that were given in the place of its own."""
        from grid.etcd import EtcdConfig

        if self.etcd is None:
            return self._checked(lambda: replace(config, **self._given()))
        return self._checked(lambda: EtcdConfig.parse(self.etcd or "", **self._given()))

    def _given(self) -> dict[str, Any]:
        options = {
            "ca": self.etcd_ca,
            "cert": self.etcd_cert,
            "key": self.etcd_key,
            "user": self.etcd_user,
            "password": self.etcd_password,
            "timeout": self.timeout,
        }
        return {name: value for name, value in options.items() if value is not None}

    def _checked(self, make: Callable[[], EtcdConfig]) -> EtcdConfig:
        from grid.errors import GridError

        try:
            return make()
        except ValueError as error:
            if isinstance(error, GridError):
                raise
            raise BadInput(str(error)) from None


Output = Annotated[
    Format,
    option(
        "--output",
        "-o",
        metavar="FORMAT",
        parser=choice("--output", Format),
        autocompletion=lambda: list(Format),
        help="table, wide, json or jsonl (default: table)",
    ),
]


class _Command(TyperCommand):
    """A command with help texts of our own."""

    def get_help(self, ctx: Any) -> str:
        return command_help(self.name or "", self.help or "", self.get_params(ctx)).rstrip()


def build_command(function: Callable[..., Any], name: str) -> Any:
    """A command of the command library that calls a function, plain or async.

    A parameter `connection: Connection` stands for the options of one. The return
    value of the function is the exit code, None for 0. Ctrl-C is the usual end of
    a command with `--watch`, so it is no failure there.
    """

    def invoke(**given: Any) -> None:
        interrupted = Code.OK if given.get("watch") else Code.INTERRUPTED
        if takes_connection:
            parts = {one.name: given.pop(one.name) for one in fields(Connection)}
            given["connection"] = Connection(**parts)
        with exits(interrupted=interrupted):
            code = _finish(function(**given))
        raise typer.Exit(code or Code.OK)

    parameters = list(_parameters(function))
    takes_connection = "connection" in inspect.signature(function).parameters
    invoke.__doc__ = function.__doc__
    invoke.__name__ = function.__name__
    invoke.__annotations__ = {one.name: one.annotation for one in parameters}
    invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(name, cls=_Command)(invoke)
    return typer.main.get_command(app)


def _finish(result: Any) -> Any:
    if not isinstance(result, Coroutine):
        return result
    from grid.aio import run

    return run(result)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    own = [
        one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for one in inspect.signature(function).parameters.values()
        if hints[one.name] is not Connection
    ]
    if len(own) == len(hints) - ("return" in hints):
        return own
    shared = get_type_hints(Connection, include_extras=True)
    return own + [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=one.default,
            annotation=shared[one.name],
        )
        for one in fields(Connection)
    ]

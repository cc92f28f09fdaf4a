"""Options that commands share, and commands built from functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from grid.cli._exits import BadInput, Code, exits
from grid.cli._help import CONNECTION, command_help
from grid.cli._output import Format, write
from grid.cli._parser import Completer, Parameter, complete, parse
from grid.cli._values import choice, existing_file, seconds

if TYPE_CHECKING:
    from grid.client.client import Client
    from grid.etcd import EtcdConfig
    from grid.tls import TLS

__all__ = ["Command", "Connection", "Output", "argument", "option"]

_ETCD = "127.0.0.1:2379"
_TIMEOUT = 10.0  # seconds


def option(
    *flags: str,
    help: str,  # noqa: A002
    env: str | None = None,
    metavar: str = "",
    parser: Callable[[str], Any] = str,
    complete: Completer | None = None,
    panel: str = "",
) -> Parameter:
    """An option with a variable: `--etcd-ca` is also `GRID_ETCD_CA` unless `env` names another.

    Without a metavar it takes no value and is True when it is given.
    """
    flag = next(flag for flag in flags if flag.startswith("--"))
    return Parameter(
        flags=flags,
        help=help,
        variable=env or "GRID_" + flag[2:].replace("-", "_").upper(),
        metavar=metavar,
        convert=parser,
        complete=complete,
        panel=panel,
    )


def argument(metavar: str, *, help: str, complete: Completer | None = None) -> Parameter:  # noqa: A002
    """An argument by its place."""
    return Parameter(metavar=metavar, help=help, complete=complete)


def _connection(
    *flags: str,
    metavar: str,
    help: str,  # noqa: A002
    parser: Callable[[str], Any] = str,
) -> Parameter:
    return option(*flags, metavar=metavar, help=help, parser=parser, panel=CONNECTION)


def _file(flag: str, help: str) -> Parameter:  # noqa: A002
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
    etcd_user: Annotated[
        str | None, _connection("--etcd-user", metavar="TEXT", help="user at etcd")
    ] = None
    etcd_password: Annotated[
        str | None, _connection("--etcd-password", metavar="TEXT", help="password of the user")
    ] = field(default=None, repr=False)

    tls_ca: Annotated[Path | None, _file("--tls-ca", "authority of peers (PEM)")] = None
    tls_cert: Annotated[Path | None, _file("--tls-cert", "own certificate for peers (PEM)")] = None
    tls_key: Annotated[Path | None, _file("--tls-key", "key of that certificate (PEM)")] = None
    tls_server_name: Annotated[
        str | None,
        _connection("--tls-server-name", metavar="NAME", help="name in the certificates of peers"),
    ] = None

    def client(self) -> Client:
        """A client of the grid."""
        from grid.client.client import Client
        from grid.registry.names import check_namespace

        namespace = check_namespace(self.namespace or "default")
        return Client(namespace, etcd=self.etcd_config(), timeout=self.seconds, tls=self.tls())

    @property
    def where(self) -> str:
        """Namespace and etcd, for texts about what is not there."""
        return f"namespace {self.namespace or 'default'!r} of etcd {self.etcd or _ETCD}"

    @property
    def seconds(self) -> float:
        """Limit of a call in seconds."""
        return _TIMEOUT if self.timeout is None else self.timeout

    def etcd_config(self) -> EtcdConfig:
        """Configuration of the connection to etcd.

        Raises:
            InvalidAddress, InvalidArgument: the options do not make sense.
        """
        from grid.environment import command_etcd

        return command_etcd(self.etcd or None, **{**self._given(), "timeout": self.seconds})

    def over(self, config: EtcdConfig) -> EtcdConfig:
        """A configuration with the options that were given in the place of its own."""
        from grid.etcd import EtcdConfig

        if self.etcd is None:
            return self._checked(lambda: replace(config, **self._given()))
        return self._checked(lambda: EtcdConfig.parse(self.etcd or "", **self._given()))

    def tls(self, of_app: TLS | None = None, **more: Any) -> TLS | None:
        """TLS of the options and variables, laid over that of an app; None for cleartext.

        Args:
            of_app: what the app says, if there is one.
            more: further fields, where they are not None.

        Raises:
            InvalidArgument: the options do not make sense.
        """
        from grid.environment import command_tls

        options = {
            "ca": self.tls_ca,
            "cert": self.tls_cert,
            "key": self.tls_key,
            "server_name": self.tls_server_name,
            **more,
        }
        given = {name: value for name, value in options.items() if value is not None}
        return command_tls(**given) if of_app is None else replace(of_app, **given)

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
        complete=lambda *_: list(Format),
        help="table, wide, json or jsonl (default: table)",
    ),
]


class Command:
    """A sub-command that calls a function, plain or async.

    The function's parameters are annotated with an `option` or `argument` each;
    a parameter `connection: Connection` stands for the options of one. The return
    value of the function is the exit code, None for 0.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.name = name
        self._function = function
        self._takes_connection = False
        self._parameters = list(self._collect())

    def run(self, words: Sequence[str]) -> int:
        """Run it with the words after its name; its exit code."""
        before = words[: words.index("--")] if "--" in words else words
        if "--help" in before or "-h" in before:
            write(command_help(self.name, self._function.__doc__ or "", self._parameters))
            return Code.OK
        given = parse(self.name, self._parameters, words)
        # Ctrl-C is the usual end of a command with `--watch`, and no failure.
        interrupted = Code.OK if given.get("watch") else Code.INTERRUPTED
        if self._takes_connection:
            parts = {one.name: given.pop(one.name) for one in fields(Connection)}
            given["connection"] = Connection(**parts)
        with exits(interrupted=interrupted):
            return _finish(self._function(**given)) or Code.OK

    def complete(self, words: Sequence[str], typed: str) -> list[str]:
        """Words to offer after the words after its name."""
        return complete(self._parameters, words, typed)

    def _collect(self) -> list[Parameter]:
        hints = get_type_hints(self._function, include_extras=True)
        found, shared = [], []
        for name, one in inspect.signature(self._function).parameters.items():
            if hints[name] is Connection:
                self._takes_connection = True
                of_connection = get_type_hints(Connection, include_extras=True)
                shared = [
                    _parameter(part.name, part.default, of_connection[part.name])
                    for part in fields(Connection)
                ]
            else:
                found.append(_parameter(name, one.default, hints[name]))
        return found + shared


def _parameter(name: str, default: Any, annotation: Any) -> Parameter:
    (given,) = (one for one in annotation.__metadata__ if isinstance(one, Parameter))
    required = default is inspect.Parameter.empty
    many = str(annotation.__origin__).startswith(("list[", "typing.Optional[list"))
    return replace(
        given, name=name, default=None if required else default, required=required, many=many
    )


def _finish(result: Any) -> Any:
    if not isinstance(result, Coroutine):
        return result
    from grid.aio import run

    return run(result)

"""`grid serve`: one peer, in the foreground."""

from __future__ import annotations

import enum
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import Annotated, Any, TextIO

from grid.cli._load import TARGET_HELP, load_server
from grid.cli._logs import LogFormat, LogLevel, set_up_logs
from grid.cli._options import Connection, argument, option
from grid.cli._output import compact, discard, put
from grid.cli._parser import Parameter
from grid.cli._values import choice, seconds, whole_number
from grid.process import discard_closed_output

__all__ = ["serve"]

_MOST_SLOTS = 10_000_000
_LAST_PATIENCE = 1.0  # seconds for each step of the end of a peer without its owner


class OnLeaseLost(enum.StrEnum):
    """Reaction of a peer to the loss of its lease."""

    REJOIN = "rejoin"
    EXIT = "exit"


LogLevelOption = Annotated[
    LogLevel,
    option(
        "--log-level",
        metavar="LEVEL",
        parser=choice("--log-level", LogLevel),
        complete=lambda *_: list(LogLevel),
        help="debug, info, warning or error (default: info)",
    ),
]


LogFormatOption = Annotated[
    LogFormat,
    option(
        "--log-format",
        metavar="FORMAT",
        parser=choice("--log-format", LogFormat),
        complete=lambda *_: list(LogFormat),
        help="text, or json: an object a line (default: text)",
    ),
]


def serve(
    target: Annotated[str, argument("MODULE:SERVER", help=TARGET_HELP)],
    connection: Connection,
    listen: Annotated[
        str | None,
        option(
            "--listen",
            metavar="HOST:PORT",
            help="address to listen at; port 0 is a free one (default: 127.0.0.1:0)",
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        option(
            "--advertise",
            metavar="HOST[:PORT]",
            help="address for other peers; auto: this machine's on the way to etcd",
        ),
    ] = None,
    name: Annotated[
        str | None,
        option("--name", metavar="NAME", help="name of the peer (default: its address)"),
    ] = None,
    annotation: Annotated[
        list[str] | None,
        option("--annotation", metavar="K=V", help="annotation of the peer; repeatable"),
    ] = None,
    lease: Annotated[
        float | None,
        option(
            "--lease",
            metavar="SECONDS",
            parser=seconds("--lease"),
            help="time until the names of a dead peer are free",
        ),
    ] = None,
    no_leader: Annotated[
        bool, option("--no-leader", help="never run the leader on this peer")
    ] = False,
    drain_timeout: Annotated[
        float | None,
        option(
            "--drain-timeout",
            metavar="SECONDS",
            parser=seconds("--drain-timeout", zero=True),
            help="time for actors to end",
        ),
    ] = None,
    slots: Annotated[
        int | None,
        option(
            "--slots",
            metavar="N",
            parser=whole_number("--slots", 1, _MOST_SLOTS),
            help="actors that run here at most, the leader aside (default: any number)",
        ),
    ] = None,
    on_lease_lost: Annotated[
        OnLeaseLost | None,
        option(
            "--on-lease-lost",
            metavar="ACTION",
            parser=choice("--on-lease-lost", OnLeaseLost),
            complete=lambda *_: list(OnLeaseLost),
            help="rejoin, or exit with 1 (default: rejoin)",
        ),
    ] = None,
    tls_no_client_certificate: Annotated[
        bool,
        option("--tls-no-client-certificate", help="with TLS: ask callers for no certificate"),
    ] = False,
    reflection: Annotated[
        bool, option("--reflection", help="offer gRPC reflection, for grpcurl")
    ] = False,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
    owned: Annotated[bool, Parameter(flags=("--owned",), hidden=True)] = False,
    describe: Annotated[bool, Parameter(flags=("--describe",), hidden=True)] = False,
) -> None:
    """Run one peer until SIGTERM or Ctrl-C.

    Then it drains; a second signal cuts the drain. Options beat the module's.

    $ grid serve shop.app:server
    $ grid serve shop.app --etcd etcd:2379 --listen 0.0.0.0:7777 --advertise auto
    """
    answers = _stdout_of_its_own() if describe else None
    discard_closed_output()  # an app may print, and its peer serves on without readers
    if owned:
        threading.Thread(target=_end_with_owner, name="owner", daemon=True).start()
    _hand_on(connection)
    server = load_server(target)
    given = {
        "listen": listen,
        "advertise": advertise,
        "name": name,
        "annotations": tuple(sorted(annotation)) if annotation else None,
        "lease": lease,
        "allow_leadership": False if no_leader else None,
        "drain_timeout": drain_timeout,
        "slots": slots,
        "on_lease_lost": on_lease_lost and on_lease_lost.value,
        "reflection": True if reflection else None,
        "namespace": connection.namespace,
        "etcd": connection.over(server.config.etcd),
        "tls": connection.tls(
            server.config.tls,
            require_client_certificate=False if tls_no_client_certificate else None,
        ),
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    server.configure(**changes)
    server.config.check()
    if answers is not None:
        # Without its token: health is asked for without one, and output may be kept.
        tls = server.config.tls and replace(server.config.tls, token=None).plain()
        put(compact({"namespace": server.config.namespace, "tls": tls}), answers)
        return
    set_up_logs(log_level, log_format)
    server.run()


def _stdout_of_its_own() -> TextIO:
    """Standard output, where what an app prints does not come, be it at the very end."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    discard(sys.stdout)
    return answers


def _hand_on(connection: Connection) -> None:
    # The app makes its server before the options are laid over it, and GRID_TOKEN asks for TLS.
    for name in ("tls_ca", "tls_cert", "tls_key", "tls_server_name"):
        value = getattr(connection, name)
        if value is not None:
            os.environ[f"GRID_{name.upper()}"] = str(value)


def _end_with_owner() -> None:
    # Standard input is a pipe that the owner holds: it closes however the owner ends. etcd may
    # have gone with it, so the drain gets little time.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_LAST_PATIENCE)
    os._exit(1)

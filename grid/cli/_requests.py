"""`grid request` and `grid broadcast`: messages from the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from grid.cli._completion import mailbox_names, message_types
from grid.cli._exits import BadInput, Code, say_hints
from grid.cli._load import import_types
from grid.cli._messages import message_of, to_json
from grid.cli._options import Connection, Output, argument, option
from grid.cli._output import Column, Format, compact, print_json, print_rows

if TYPE_CHECKING:
    from grid.client.broadcast import BroadcastResult, Outcome

__all__ = ["broadcast", "request"]

ProtoModules = Annotated[
    list[str] | None,
    option(
        "--proto-module",
        metavar="MODULE",
        help="module with generated messages; repeatable",
    ),
]
App = Annotated[
    str | None,
    option("--app", metavar="MODULE[:SERVER]", help="app that imports its messages"),
]
IsPlain = Annotated[
    bool,
    option("--plain", help="the type is a dataclass or model of the receiver's, known by its name"),
]
Metadata = Annotated[
    list[str] | None,
    option(
        "--metadata",
        metavar="K=V",
        env="GRID_REQUEST_METADATA",
        help="metadata for the receiver; repeatable",
    ),
]
Idempotent = Annotated[
    bool,
    option(
        "--idempotent",
        env="GRID_REQUEST_IDEMPOTENT",
        help="resend also after an unknown outcome: acting on it twice does no harm",
    ),
]


async def request(
    name: Annotated[
        str,
        argument("NAME", help="name of a mailbox", complete=mailbox_names),
    ],
    type: Annotated[  # noqa: A002
        str,
        argument(
            "TYPE",
            help="type of the message, for example shop.Order or Order",
            complete=message_types,
        ),
    ],
    connection: Connection,
    json: Annotated[
        str,
        argument("JSON", help="message as JSON; - reads stdin (default: {})"),
    ] = "{}",
    proto_module: ProtoModules = None,
    app: App = None,
    plain: IsPlain = False,
    metadata: Metadata = None,
    idempotent: Idempotent = False,
    wait: Annotated[
        bool,
        option("--wait", env="GRID_REQUEST_WAIT", help="wait while the mailbox is full"),
    ] = False,
) -> None:
    """Send a message and print the reply as JSON.

    $ grid request echo EchoMsg '{"msg": "hello"}'
    $ grid request orders shop.Order '{"id": 7}' --proto-module shop.order_pb2
    $ cat order.json | grid request orders shop.Order - --app shop.app
    $ grid request auction Bid '{"amount": 7}' --plain
    """
    import_types(proto_module, app)
    message = message_of(type, json, plain=plain)
    pairs = key_values(metadata)
    async with connection.client() as client:
        reply = await client.request(
            name,
            message,
            timeout=connection.seconds,
            metadata=pairs,
            idempotent=idempotent,
            wait=wait,
        )
    print_json(to_json(reply), on_one_line=not sys.stdout.isatty())


async def broadcast(
    names: Annotated[
        list[str],
        argument("NAME...", help="names of mailboxes", complete=mailbox_names),
    ],
    connection: Connection,
    type: Annotated[  # noqa: A002
        str,
        option(
            "--type",
            "-t",
            metavar="TYPE",
            env="GRID_BROADCAST_TYPE",
            help="type of the message",
            complete=message_types,
        ),
    ],
    json: Annotated[
        str,
        option(
            "--json",
            "-j",
            metavar="JSON",
            env="GRID_BROADCAST_JSON",
            help="message as JSON; - reads stdin (default: {})",
        ),
    ] = "{}",
    fastest: Annotated[
        bool,
        option("--fastest", env="GRID_BROADCAST_FASTEST", help="return at the first success"),
    ] = False,
    proto_module: ProtoModules = None,
    app: App = None,
    plain: IsPlain = False,
    metadata: Metadata = None,
    idempotent: Idempotent = False,
    output: Output = Format.TABLE,
) -> int:
    """Send one message to many mailboxes and print each answer.

    Exit code 1 if a member failed (with --fastest: if none succeeded).

    $ grid broadcast worker-1 worker-2 --type shop.Reload --app shop.app
    $ grid broadcast echo-1 echo-2 --type EchoMsg --json '{"msg": "hi"}' --fastest
    """
    from grid.client.broadcast import Group
    from grid.errors import IncompleteBroadcast

    import_types(proto_module, app)
    message = message_of(type, json, plain=plain)
    group = Group(*names, first_only=fastest)
    async with connection.client() as client:
        try:
            result = await client.broadcast(
                group,
                message,
                timeout=connection.seconds,
                metadata=key_values(metadata),
                idempotent=idempotent,
            )
            code = Code.OK
        except IncompleteBroadcast as error:
            result = error.result
            code = Code.FAILED
    _print_outcomes(group.members, result, output)
    say_hints(result.errors.values())
    return code


def _print_outcomes(names: tuple[str, ...], result: BroadcastResult, output: Format) -> None:
    rows = [_row(name, result[name]) for name in names if name in result]
    if output in (Format.TABLE, Format.WIDE):
        for row in rows:
            error = row.get("error")
            answer = error["message"] if error else compact(row["reply"])
            row["answer"] = f"error: {answer}" if error else answer
    print_rows(rows, (Column("NAME", "name"), Column("ANSWER", "answer")), output)


def _row(name: str, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "ok": outcome.error is None}
    if outcome.value is not None:
        row["reply"] = to_json(outcome.value)
    if outcome.error is not None:
        row["error"] = {
            "type": outcome.error.__class__.__name__,
            "message": str(outcome.error),
            "retryable": outcome.error.retryable,
        }
    return row


def key_values(texts: list[str] | None) -> dict[str, str]:
    """The pairs in `k=v` texts. Raises `BadInput` for what is not one."""
    pairs = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise BadInput(f"metadata must be key=value, not {text!r}")
        pairs[key] = value
    return pairs

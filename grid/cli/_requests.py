"""`grid request` and `grid broadcast`: messages from the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from grid.cli._completion import mailbox_names
from grid.cli._exits import BadInput
from grid.cli._load import import_module
from grid.cli._messages import build_message, message_type, to_json
from grid.cli._options import Connection, command, option
from grid.cli._output import print_json

__all__ = ["add_to"]

ProtoModules = Annotated[
    list[str] | None,
    option(
        "--proto-module",
        metavar="MODULE",
        help="A module with the generated messages; repeatable.",
    ),
]
App = Annotated[
    str | None,
    option("--app", metavar="MODULE[:SERVER]", help="The app, which imports its messages."),
]
Metadata = Annotated[
    list[str] | None,
    option(
        "--metadata",
        metavar="K=V",
        env="GRID_REQUEST_METADATA",
        help="What the receiver shall know about it; repeatable.",
    ),
]
Idempotent = Annotated[
    bool,
    option(
        "--idempotent",
        env="GRID_REQUEST_IDEMPOTENT",
        help="Acting on it twice does no harm: send again also if the outcome is unknown.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, rich_help_panel="Talk")(request)


async def request(
    name: Annotated[str, typer.Argument(help="The mailbox.", autocompletion=mailbox_names)],
    type: Annotated[  # noqa: A002
        str, typer.Argument(help="The message's protobuf type, for example shop.Order or Order.")
    ],
    connection: Connection,
    json: Annotated[str, typer.Argument(help="The message as JSON; - reads stdin.")] = "{}",
    proto_module: ProtoModules = None,
    app: App = None,
    metadata: Metadata = None,
    idempotent: Idempotent = False,
    wait: Annotated[
        bool,
        option("--wait", env="GRID_REQUEST_WAIT", help="Keep trying while the mailbox is full."),
    ] = False,
) -> None:
    """Send a message to a mailbox and print the reply as JSON.

    [dim]Examples:[/dim]
      grid request echo EchoMsg '{"msg": "hello"}'
      grid request orders shop.Order '{"id": 7}' --proto-module shop.order_pb2
      cat order.json | grid request orders shop.Order - --app shop.app
    """
    import_types(proto_module, app)
    message = build_message(message_type(type), json)
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
    print_json(to_json(reply), compact=not sys.stdout.isatty())


def import_types(proto_modules: list[str] | None, app: str | None) -> None:
    """Import the modules whose messages can then be named."""
    for module in (*(proto_modules or ()), *([app.partition(":")[0]] if app else ())):
        import_module(module)


def key_values(texts: list[str] | None) -> dict[str, str]:
    """The pairs in `k=v` texts. Raises `BadInput` for what is not one."""
    pairs = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise BadInput(f"metadata must be key=value, not {text!r}")
        pairs[key] = value
    return pairs

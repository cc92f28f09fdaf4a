"""`grid reminders` and `grid forget`: messages that actors will be sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from grid.cli._completion import actor_names
from grid.cli._exits import NotFound
from grid.cli._options import Connection, Output, argument, option
from grid.cli._output import Column, Format, print_rows, say

if TYPE_CHECKING:
    from grid.registry.reminders import Reminder

__all__ = ["forget", "reminders"]

_COLUMNS = (
    Column("ACTOR", "actor"),
    Column("NAME", "name"),
    Column("TYPE", "type"),
    Column("DUE IN", "due_in"),
    Column("EVERY", "every"),
    Column("MESSAGE", "message"),
    Column("LAST ERROR", "error"),
    Column("DUE", "due", wide=True),
)


async def reminders(
    connection: Connection,
    actor: Annotated[
        str | None,
        option("--actor", metavar="NAME", help="only those of this actor", complete=actor_names),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the reminders of actors that wait.

    One whose time is over has a DUE IN below 0: it is being sent, or LAST ERROR says why not.

    $ grid reminders
    $ grid reminders -o json | jq '.[] | select(.error != "")'
    """
    async with connection.client() as client:
        found = await client.reminders(actor, timeout=connection.timeout)
    if not found:
        say(f"no reminders in {connection.where}", style="dim")
    print_rows([_row(one, time.time()) for one in found], _COLUMNS, output)


async def forget(
    actor: Annotated[str, argument("ACTOR", help="name of the actor", complete=actor_names)],
    name: Annotated[str, argument("NAME", help="name of the reminder")],
    connection: Connection,
) -> None:
    """Remove a reminder of an actor. One that is being sent may still come.

    $ grid forget room-lobby close
    """
    async with connection.client() as client:
        if not await client.forget_reminder(actor, name, timeout=connection.timeout):
            raise NotFound(
                f"{actor!r} has no reminder {name!r} in {connection.where}; see: grid reminders"
            )
    say(f"forgot {name} of {actor}", style="dim")


def _row(one: Reminder, now: float) -> dict[str, Any]:
    return {
        "actor": one.actor,
        "name": one.name,
        "type": one.type,
        "due_in": round(one.due - now, 1),
        "due": one.due,
        "every": one.every,
        "message": one.message,
        "error": one.error,
    }

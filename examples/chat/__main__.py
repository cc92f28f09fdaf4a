"""The chat from its start to its end: `python -m examples.chat --help`."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated

import typer
from rich.console import Console

import grid
from examples.chat.app import Line
from examples.chat.member import Member
from examples.failover import kill_two
from examples.progress import progress_of
from examples.stage import Stage, exit_code, open_stage

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    peers: Annotated[int, typer.Option(min=1, help="Number of peers.")] = 4,
    rooms: Annotated[int, typer.Option(min=1, help="Number of rooms.")] = 6,
    members: Annotated[int, typer.Option(min=1, help="Number of members of each room.")] = 2,
    lines: Annotated[int, typer.Option(min=1, help="Number of lines of each member.")] = 40,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill the leader's peer and another one half way.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the peers log.")] = False,
) -> None:
    """Chat in rooms on a grid of peers.

    Ends with status 0 only if each member has heard each line of its room once, and in order.
    """
    if kill and peers < 3:
        raise typer.BadParameter("two of them are killed: --peers 3 at least")
    console = Console(highlight=False)

    async def run() -> bool:
        async with open_stage(
            "examples.chat.app:server",
            "chat",
            peers=peers,
            lease=2.0,
            console=console,
            verbose=verbose,
            # A room may be on its way to another peer: it is asked for until the timeout.
            timeout=20.0,
            retry=grid.Retry(attempts=None),
        ) as stage:
            all_members = [
                Member(stage.client, f"member-{number}", f"room-{room}", lines)
                for room in range(rooms)
                for number in range(members)
            ]
            await _chat(stage, all_members, members * lines, kill, console)
        return _verify(all_members, lines, console)

    raise typer.Exit(exit_code(run()))


async def _chat(
    stage: Stage, members: list[Member], lines: int, kill: bool, console: Console
) -> None:
    """Let all talk and listen, until each has heard the lines of its room."""
    halfway = asyncio.Event()
    total = heard = len(members) * lines

    with progress_of(console, "hearing", "heard", "lines", total) as advance:

        def hear() -> None:
            nonlocal heard
            heard -= 1
            advance()
            if 2 * heard <= total:
                halfway.set()

        async def kill_half_way() -> None:
            await halfway.wait()
            await kill_two(stage, console)

        async with asyncio.TaskGroup() as tasks:
            if kill:
                tasks.create_task(kill_half_way())
            for member in members:
                tasks.create_task(member.listen(lines, hear))
                tasks.create_task(member.talk())


def _verify(members: list[Member], lines: int, console: Console) -> bool:
    wrong = 0
    for room in sorted({member.room for member in members}):
        there = [member for member in members if member.room == room]
        longest = max((member.heard for member in there), key=len)
        authors = {member.name: lines for member in there}
        for member in there:
            same = member.heard == longest[: len(member.heard)]
            if not same or not verdict(member.heard, authors):
                wrong += 1
                console.print(f"[red]✗ {member.name} in {room} has heard something else[/]")
        cries = len(longest) - len(there) * lines
        opened = sum(member.opened for member in there)
        console.print(
            f"{room}: {len(there)} members listened {opened} times to "
            f"{len(there) * lines} lines and {cries} cries"
        )
    if not wrong:
        console.print(f"[green]✓[/] {len(members)} members have each line once, and in order")
    return not wrong


def verdict(heard: list[Line], authors: dict[str, int]) -> bool:
    """True if lines have the numbers 1, 2, 3..., and those of each member too."""
    last: Counter[str] = Counter()
    for number, line in enumerate(heard, 1):
        author, own = line.said.author, line.said.number
        if line.number != number or own <= last[author]:
            return False
        if author in authors and own != last[author] + 1:
            return False
        last[author] = own
    return all(last[author] == count for author, count in authors.items())


if __name__ == "__main__":
    app()

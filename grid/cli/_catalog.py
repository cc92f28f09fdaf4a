"""Names of the sub-commands, their one-line help, and the modules that hold them.

`grid --help` is answered from this table alone, and a command imports its own module
and no other: that keeps the command quick.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMMANDS", "ENTRY_POINTS", "GUESTS", "PANELS", "CommandEntry"]

ENTRY_POINTS = "grid.commands"  # the group by which other packages add commands
PANELS = ("Run", "Look", "Talk")


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One sub-command.

    Attributes:
        name: as it is typed.
        module: the module of `grid.cli` with a function of that name.
        panel: the heading in the list of commands.
        summary: the first sentence of its help.
    """

    name: str
    module: str
    panel: str
    summary: str


COMMANDS = {
    one.name: one
    for one in (
        CommandEntry("dev", "_dev", "Run", "Run etcd and peers of an app on this machine."),
        CommandEntry("serve", "_serve", "Run", "Run one peer until SIGTERM or Ctrl-C."),
        CommandEntry("peers", "_listing", "Look", "List the peers, and whether they serve."),
        CommandEntry(
            "actors", "_listing", "Look", "List the actors, their types, states and peers."
        ),
        CommandEntry(
            "kept",
            "_listing",
            "Look",
            "List the kept actors, and the missing ones.",
        ),
        CommandEntry("reminders", "_reminders", "Look", "List the reminders of actors that wait."),
        CommandEntry("mailboxes", "_listing", "Look", "List the names that accept messages."),
        CommandEntry(
            "leader", "_listing", "Look", "Show the leader; exit code 3 if there is none."
        ),
        CommandEntry("doctor", "_doctor", "Look", "Check this machine, etcd and the grid."),
        CommandEntry("request", "_requests", "Talk", "Send a message and print the reply as JSON."),
        CommandEntry("broadcast", "_requests", "Talk", "Send one message to many mailboxes."),
        CommandEntry("start", "_actors", "Talk", "Start an actor and print its peer."),
        CommandEntry("stop", "_actors", "Talk", "Stop an actor; its names are free afterwards."),
        CommandEntry("forget", "_reminders", "Talk", "Remove a reminder of an actor."),
        CommandEntry("rebalance", "_actors", "Talk", "Move actors to where they start now."),
        CommandEntry("drain", "_actors", "Talk", "Drain a peer: its actors end, and it leaves."),
    )
}

# Commands of other packages that stand among those of this one, if they are installed. Their own
# summaries would have to be imported.
GUESTS = {
    one.name: one
    for one in (
        CommandEntry("pools", "", "Look", "List the pools of workers."),
        CommandEntry("workers", "", "Look", "List the workers of pools."),
    )
}

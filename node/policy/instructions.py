"""Instructions of the policies, to be carried out by those who ask them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ClaimKey",
    "End",
    "Grant",
    "Instruction",
    "Kill",
    "Loss",
    "Recall",
    "Refuse",
    "Retire",
    "Scale",
    "SlotInstruction",
    "Spawn",
    "StartAgent",
    "Trouble",
]

ClaimKey = tuple[str, int]
"""The id of a client, and the number of its claim."""


@dataclass(frozen=True, slots=True)
class StartAgent:
    """Start the agent of the kind on a peer."""

    peer: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Tell an agent how many workers to keep alive."""

    peer: str
    count: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Tell an agent to end a worker once its client has left."""

    peer: str
    worker: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Give a worker to a claim."""

    claim: ClaimKey
    worker: str
    peer: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Tell a claim that its worker has ended."""

    claim: ClaimKey
    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask a claim to finish with a worker and to release it."""

    claim: ClaimKey
    worker: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """End a claim.

    Attributes:
        code: "unknown-kind", "client-limit" or "pool-failed".
        text: what the client shall know beside it.
    """

    claim: ClaimKey
    code: str
    text: str = ""


Instruction = StartAgent | Scale | Retire | Grant | Loss | Recall | Refuse


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker, and say its name by `spawned`."""


@dataclass(frozen=True, slots=True)
class End:
    """Ask a worker to finish and to end."""

    worker: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker at once."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Report that workers fail at their start, with their last words; "": no more."""

    text: str


SlotInstruction = Spawn | End | Kill | Trouble

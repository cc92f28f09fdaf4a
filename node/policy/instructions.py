"""Instructions of the policies, to be carried out by the supervisor and the agents."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ClaimKey",
    "Drained",
    "End",
    "Grant",
    "Instruction",
    "Kill",
    "Loss",
    "Ordered",
    "Prepare",
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
        code: "unknown-kind", "client-limit", "pool-failed" or "no-place".
        text: what the client shall know beside it.
    """

    claim: ClaimKey
    code: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Tell an agent the latest order for the pool, which it keeps for the next supervisor."""

    peer: str


@dataclass(frozen=True, slots=True)
class Drained:
    """Tell an agent whether its peer is drained by order, which it keeps, too."""

    peer: str
    drained: bool


Instruction = Ordered | Drained | StartAgent | Scale | Retire | Grant | Loss | Recall | Refuse


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker, from a spare process if there is one, and say its name by `spawned`."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Start a spare process, which imports the worker's code and waits."""


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


SlotInstruction = Spawn | Prepare | End | Kill | Trouble

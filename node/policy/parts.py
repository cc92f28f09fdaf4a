"""Parts of a pool as its policy sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.policy.instructions import ClaimKey

__all__ = ["Agent", "Claim", "Worker"]


@dataclass(slots=True)
class Agent:
    """A peer that offers the kind, with its agent.

    Attributes:
        peer: its name.
        connected: True while its agent talks to the supervisor.
        count: workers that it was told to keep alive; None before.
        trouble: last words of a worker, while workers fail at their start there; "" for none.
        draining: True once it is about to leave.
        asked_at: when its agent was last asked to start.
    """

    peer: str
    connected: bool = False
    count: int | None = None
    trouble: str = ""
    draining: bool = False
    asked_at: float = float("-inf")

    @property
    def usable(self) -> bool:
        """True if it may get workers."""
        return self.connected and not self.draining


@dataclass(slots=True)
class Worker:
    """A worker.

    Attributes:
        name: its name.
        peer: where its agent runs.
        ready: True once it can serve.
        claim: that has it.
        serving: the client that it serves, as it says itself; "" for none.
        recalled: True once its claim was asked to release it.
        retiring: True once its agent was told to end it.
    """

    name: str
    peer: str
    ready: bool = False
    claim: ClaimKey | None = None
    serving: str = ""
    recalled: bool = False
    retiring: bool = False

    @property
    def free(self) -> bool:
        """True if it may be granted."""
        return self.ready and self.claim is None and not self.serving and not self.retiring


@dataclass(slots=True)
class Claim:
    """An open claim of a client.

    Attributes:
        key: of the claim.
        want: number of workers.
        elastic: True if it goes on with fewer.
        held: names of its workers; one that no agent has told of yet may be among them.
    """

    key: ClaimKey
    want: int
    elastic: bool
    held: set[str] = field(default_factory=set)

"""Parts of a pool as its policy sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.policy.instructions import ClaimKey
from node.policy.placement import Capacity

__all__ = ["Agent", "Claim", "Order", "Worker"]


@dataclass(frozen=True, slots=True)
class Order:
    """Order of an operator for a pool.

    Attributes:
        version: the highest one counts; 0: there was none.
        size: of the pool, whatever its settings say; None: they decide.
    """

    version: int = 0
    size: int | None = None


@dataclass(slots=True)
class Agent:
    """A peer that offers the kind, with its agent.

    Attributes:
        peer: its name.
        connected: True while its agent talks to the supervisor.
        count: workers that it was told to keep alive; None before.
        trouble: last words of a worker, while workers fail at their start there; "" for none.
        draining: True once it is about to leave.
        drained: True if an operator wants no workers there.
        drain_order: what an operator said of it to this supervisor; None: nothing.
        drain_known: `drained`, as its agent knows it.
        annotations: of the peer.
        capacity: of the peer, as its agent measured it last.
        refusal: why it gets no more workers, if there are not enough of them; "" else.
        asked_at: when its agent was last asked to start.
    """

    peer: str
    connected: bool = False
    count: int | None = None
    trouble: str = ""
    draining: bool = False
    drained: bool = False
    drain_order: bool | None = None
    drain_known: bool = False
    annotations: tuple[str, ...] = ()
    capacity: Capacity = field(default_factory=Capacity)
    refusal: str = ""
    asked_at: float = float("-inf")

    @property
    def usable(self) -> bool:
        """True if it may get workers."""
        return self.connected and not self.draining and not self.drained

    @property
    def pending(self) -> bool:
        """True while an order to drain, or to undo it, has not reached its agent."""
        return not self.connected or self.drained != self.drain_known


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
        patient: True if it waits while its client has as many workers as it may have.
    """

    key: ClaimKey
    want: int
    elastic: bool
    held: set[str] = field(default_factory=set)
    patient: bool = False

"""The subscriptions of one process on a broker's bus, by channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from grid.errors import GridError
from rpc.buses.bus import Inflow

__all__ = ["Flows"]


class Flows:
    """Subscriptions of one kind: of queues, or of all messages.

    Args:
        emptied: called with a channel's name when its last subscription has left.
    """

    def __init__(self, emptied: Callable[[str], Awaitable[None]]) -> None:
        self._emptied = emptied
        self._flows: dict[str, list[Inflow]] = {}
        self._turns: dict[str, int] = {}

    def __contains__(self, channel: str) -> bool:
        return channel in self._flows

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._flows))

    def add(self, channel: str, size: int) -> Inflow:
        """A further subscription of a channel."""
        flow = Inflow(channel, size, self._leave)
        self._flows.setdefault(channel, []).append(flow)
        return flow

    def put_all(self, channel: str, data: bytes) -> int:
        """Give a message to all subscriptions of a channel; how many took it."""
        return sum(flow.put(data) for flow in tuple(self._flows.get(channel, ())))

    def put_one(self, channel: str, data: bytes) -> int:
        """Give a message to the subscription whose turn it is; one that is full is passed over."""
        flows = tuple(self._flows.get(channel, ()))
        for _ in range(len(flows)):
            turn = self._turns[channel] = (self._turns.get(channel, -1) + 1) % len(flows)
            if flows[turn].put(data):
                return 1
        return 0

    def fail(self, error: GridError) -> None:
        """End all subscriptions with an error, after what is unread."""
        for flows in self._flows.values():
            for flow in flows:
                flow.fail(error)

    async def close(self) -> None:
        """End all subscriptions."""
        for flows in tuple(self._flows.values()):
            for flow in tuple(flows):
                await flow.close()

    async def _leave(self, flow: Inflow) -> None:
        flows = self._flows.get(flow.channel, [])
        if flow in flows:
            flows.remove(flow)
        if not flows and self._flows.pop(flow.channel, None) is not None:
            self._turns.pop(flow.channel, None)
            await self._emptied(flow.channel)

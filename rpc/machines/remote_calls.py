"""The calls of a remote machine to its source, as the machine sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from machine.core.mutation import Source
from machine.core.transition import Event
from machine.rules.kinds import Kind
from machine.waits.result import Result
from machine.waits.wait import Wait
from rpc.machine_pb2 import Fault

__all__ = ["From", "RemoteCalls"]

From: TypeAlias = Event | Source | None


class RemoteCalls(Protocol):
    """The client of a remote machine, as far as the machine needs it."""

    @property
    def connected(self) -> bool:
        """True while the mirror follows its source."""

    @property
    def last_heard(self) -> float:
        """Time of the last message from the source, in seconds of the loop's clock."""

    def on_disconnected(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call a function each time the connection has ended; returns what ends that."""

    async def mutate(
        self,
        kind: Kind,
        states: tuple[str, ...],
        args: object = None,
        source: From = None,
        error: Fault | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Carry a mutation out at the source."""

    async def notify(
        self, kind: Kind, states: tuple[str, ...], args: object = None, source: From = None
    ) -> None:
        """Send a mutation whose result is not told."""

    async def synchronise(self, timeout: float | None = None) -> None:
        """Bring the mirror up to date."""

    def subscribe(self, state: str, args: Mapping[str, Any], what: str) -> Wait:
        """Return a wait that ends when a state begins at the source with these arguments."""

    async def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function of the source."""

    async def log(self, text: str) -> None:
        """Write into the log of the source."""

"""Routes: the destinations of deliveries, sent once on a session and then by number.

A route is a receiver, its epoch, and the type of the message. The sender gives
out numbers, up to as many as the receiver keeps; when they are used up, the
number that was given out first goes to the new route. A delivery holds its
route and not the number until its frame is cut, so that a number can change
hands while deliveries wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grid.wire_pb2 import Route

__all__ = [
    "NO_ROUTE",
    "InboundRoute",
    "InboundRoutes",
    "OutboundRoute",
    "OutboundRoutes",
    "RouteError",
]

_LONGEST_NAME = 4096
_MOST_UNUSED = 4096
_UNDEFINED = -1


class RouteError(ValueError):
    """The other side used or defined a route against the rules."""


class OutboundRoute:
    """A route of the sending side; its number is negative until it is defined."""

    __slots__ = ("epoch", "number", "receiver", "type_name")

    def __init__(self, receiver: str, type_name: str, epoch: int, number: int = _UNDEFINED) -> None:
        self.receiver = receiver
        self.type_name = type_name
        self.epoch = epoch
        self.number = number


NO_ROUTE = OutboundRoute("", "", 0, number=0)


class OutboundRoutes:
    """Gives out route numbers, from 1 to `limit`."""

    __slots__ = ("_defined", "by_name", "limit")

    def __init__(self) -> None:
        self.limit = 0
        self.by_name: dict[tuple[str, str], OutboundRoute] = {}
        self._defined: dict[OutboundRoute, None] = {}  # the first defined first

    def find(self, receiver: str, type_name: str, epoch: int) -> OutboundRoute:
        """The route of these names, the same one each time."""
        route = self.by_name.get((receiver, type_name))
        if route is None or route.epoch != epoch:
            if len(self.by_name) >= self.limit + _MOST_UNUSED:
                # Many were never defined: their deliveries were taken back.
                self.by_name = {(one.receiver, one.type_name): one for one in self._defined}
            route = OutboundRoute(receiver, type_name, epoch)
            self.by_name[receiver, type_name] = route
        return route

    def define(self, used: Sequence[OutboundRoute]) -> list[Route]:
        """Give numbers to the routes of a frame that have none; returns their definitions."""
        kept = set(used)
        definitions = []
        for route in dict.fromkeys(used):
            if route.number < 0:
                route.number = self._free_number(kept)
                self._defined[route] = None
                definitions.append(
                    Route(
                        number=route.number,
                        receiver=route.receiver,
                        type_name=route.type_name,
                        epoch=route.epoch,
                    )
                )
        return definitions

    def _free_number(self, kept: set[OutboundRoute]) -> int:
        if len(self._defined) < self.limit:
            return len(self._defined) + 1
        oldest = next(route for route in self._defined if route not in kept)
        number, oldest.number = oldest.number, _UNDEFINED
        del self._defined[oldest]
        name = (oldest.receiver, oldest.type_name)
        if self.by_name.get(name) is oldest:
            del self.by_name[name]
        return number


class InboundRoute:
    """A route of the receiving side.

    Attributes:
        receiver: the full name of the mailbox; empty in answers and items.
        type_name: the type of the message.
        epoch: the registration that the sender resolved, 0 for not known.
    """

    __slots__ = ("epoch", "receiver", "type_name")

    def __init__(self, receiver: str, type_name: str, epoch: int) -> None:
        self.receiver: str = receiver
        self.type_name: str = type_name
        self.epoch: int = epoch


class InboundRoutes:
    """The routes that the other side has defined, by number."""

    __slots__ = ("_limit", "by_number")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.by_number = {0: InboundRoute("", "", 0)}

    def define(self, routes: Iterable[Route]) -> None:
        """Take over definitions.

        Raises:
            RouteError: a number or a name is outside of its bounds.
        """
        for route in routes:
            if not 0 < route.number <= self._limit:
                raise RouteError(f"route number {route.number} is not in 1..{self._limit}")
            receiver, type_name = route.receiver, route.type_name
            if max(len(receiver), len(type_name)) > _LONGEST_NAME:
                raise RouteError("a name in a route is too long")
            # Not the message itself, which would keep its whole frame in memory.
            self.by_number[route.number] = InboundRoute(receiver, type_name, route.epoch)

    def __getitem__(self, number: int) -> InboundRoute:
        """Raises `RouteError` for a number that was never defined."""
        try:
            return self.by_number[number]
        except KeyError:
            raise RouteError(f"route {number} is not defined") from None

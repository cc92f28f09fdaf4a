"""The state of a machine as a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a machine without its behaviour; can be pickled, or written as JSON.

    Attributes:
        id: the machine's.
        names: the states in their official order.
        ticks: of these states.
        queue_tick: the number of mutations that had had their turn, from 1.
        machine_tick: how often the machine's state had been imported.
    """

    id: str
    names: tuple[str, ...]
    ticks: tuple[int, ...]
    queue_tick: int = 1
    machine_tick: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.id,
            "names": list(self.names),
            "ticks": list(self.ticks),
            "queue_tick": self.queue_tick,
            "machine_tick": self.machine_tick,
        }

    def for_states(
        self, names: Iterable[str], *, renamed: Mapping[str, str] | None = None
    ) -> Snapshot:
        """Return the same state for a machine with other states, after a change of its schema.

        States that are new begin inactive, with 0 ticks; states that are gone are left out.

        Args:
            names: the states of the machine in their official order: `machine.names`.
            renamed: the new name of each state that has been renamed.

        Raises:
            InvalidArgument: `renamed` has a name that the snapshot, or the machine, has not; or
                two states get one name.
        """
        names = tuple(names)
        new = dict(renamed or {})
        for old, name in new.items():
            if old not in self.names or name not in names:
                known = self.names if old not in self.names else names
                wrong = old if old not in self.names else name
                near = did_you_mean(near_names(wrong, known))
                raise InvalidArgument(
                    f"renamed has {wrong!r}, which is no state{near}", argument="renamed"
                )
        ticks: dict[str, int] = {}
        for old, tick in zip(self.names, self.ticks, strict=True):
            name = new.get(old, old)
            if name in ticks:
                raise InvalidArgument(f"two states become {name!r}", argument="renamed")
            ticks[name] = tick
        return replace(self, names=names, ticks=tuple(ticks.get(name, 0) for name in names))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Snapshot:
        """Return the snapshot of such plain data.

        Raises:
            InvalidArgument: it is something else.
        """
        try:
            names, ticks = tuple(data["names"]), tuple(data["ticks"])
            rest = int(data.get("queue_tick", 1)), int(data.get("machine_tick", 0))
            snapshot = cls(str(data["id"]), names, ticks, *rest)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidArgument(f"this is not a snapshot of a machine: {error!r}") from None
        if min(rest) < 0 or not _fit(data["names"], names, ticks):
            raise InvalidArgument(
                "this is not a snapshot: it needs a tick of 0 or more for each state"
            )
        return snapshot


def _fit(given: object, names: tuple[object, ...], ticks: tuple[object, ...]) -> bool:
    """Return True if these are names of states, once each, and a tick for each of them."""
    named = not isinstance(given, str) and all(isinstance(name, str) for name in names)
    counted = all(type(tick) is int and 0 <= tick < 2**64 for tick in ticks)
    return named and counted and len(set(names)) == len(names) == len(ticks)

"""Settings of pools as messages, and back."""

from __future__ import annotations

from dataclasses import asdict

from node.policy.parts import Order
from node.policy.placement import Capacity
from node.pool_pb2 import Capacity as CapacityMessage
from node.pool_pb2 import Order as OrderMessage
from node.pool_pb2 import Settings
from node.settings import PoolSettings

__all__ = ["from_capacity", "from_order", "from_settings", "to_capacity", "to_order", "to_settings"]


def to_settings(settings: PoolSettings) -> Settings:
    """The settings that the supervisor needs, as a message."""
    message = Settings()
    for name in message.DESCRIPTOR.fields_by_name:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def from_settings(message: Settings) -> PoolSettings:
    """The settings in a message; the others have their defaults.

    Raises:
        InvalidArgument: they contradict each other.
    """
    names = message.DESCRIPTOR.fields_by_name
    given = {name: getattr(message, name) for name in names}
    return PoolSettings(**{**given, "annotations": tuple(message.annotations)})


def to_capacity(capacity: Capacity) -> CapacityMessage:
    """A capacity as a message."""
    return CapacityMessage(**asdict(capacity))


def from_capacity(message: CapacityMessage) -> Capacity:
    """The capacity in a message."""
    return Capacity(
        message.cpus,
        message.free_cpus,
        message.memory,
        message.free_memory,
        message.workers,
    )


def to_order(order: Order) -> OrderMessage:
    """An order as a message."""
    return OrderMessage(version=order.version, fixed=order.size is not None, size=order.size or 0)


def from_order(message: OrderMessage) -> Order:
    """The order in a message."""
    return Order(message.version, message.size if message.fixed else None)

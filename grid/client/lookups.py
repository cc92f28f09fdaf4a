"""Look-ups in etcd on the way of a message: what cannot be looked up was not sent."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from grid.deadline import Deadline, within
from grid.errors import DeadlineExceeded, UnregisteredMailbox
from grid.etcd import EtcdClient, KeyValue
from grid.registry.directory import Directory
from grid.registry.registration import (
    MalformedRegistration,
    Registration,
    decode_registration,
)

__all__ = ["from_etcd", "read_registration", "registration_of"]

T = TypeVar("T")


async def read_registration(directory: Directory, key: str, deadline: Deadline) -> Registration:
    """Read a registration in etcd.

    Raises:
        UnregisteredMailbox: no peer holds it.
        EtcdUnavailable: etcd did not answer by the deadline; nothing was sent.
        EtcdError: etcd refuses.
    """
    namespace, _, name = key.split(".")
    reading = directory.read(key)
    found = await from_etcd(directory.etcd, deadline, f"resolving {name!r}", reading)
    if found is None:
        raise UnregisteredMailbox(name, namespace)
    return found


async def from_etcd(etcd: EtcdClient, deadline: Deadline, what: str, reading: Awaitable[T]) -> T:
    """Return what is read from etcd, or raise `EtcdUnavailable` when the deadline has passed.

    Not `DeadlineExceeded`: that would say that the request may have been acted upon.
    """
    try:
        return await within(deadline, what, reading)
    except DeadlineExceeded:
        raise etcd.unanswered(f"{what} in etcd", deadline.timeout) from None


def registration_of(stored: KeyValue | None) -> Registration | None:
    """The registration in a stored value; None if there is none, or another text."""
    if stored is None:
        return None
    try:
        return decode_registration(stored)
    except MalformedRegistration:
        return None

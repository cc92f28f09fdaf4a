"""Look-ups in etcd on the way of a message: what cannot be looked up was not sent."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from grid.deadline import Deadline, within
from grid.errors import DeadlineExceeded, EtcdUnavailable, UnregisteredMailbox
from grid.etcd import EtcdClient, KeyValue
from grid.registry.directory import Directory
from grid.registry.registration import (
    MalformedRegistration,
    Registration,
    decode_registration,
)

__all__ = ["came_too_late", "from_etcd", "read_registration", "registration_of"]

T = TypeVar("T")

_TICK = 0.02  # seconds by which the timers of a loop may be early, and more


async def read_registration(directory: Directory, key: str, deadline: Deadline) -> Registration:
    """Read a registration in etcd.

    Raises:
        UnregisteredMailbox: no peer holds it.
        EtcdUnavailable: etcd did not answer by the deadline; nothing was sent.
        DeadlineExceeded: the time was over when this began, or all but over.
        EtcdError: etcd refuses.
    """
    namespace, _, name = key.split(".")
    reading = directory.read(key)
    found = await from_etcd(directory.etcd, deadline, f"resolving {name!r}", reading)
    if found is None:
        raise UnregisteredMailbox(name, namespace)
    return found


async def from_etcd(
    etcd: EtcdClient, deadline: Deadline, what: str, reading: Coroutine[Any, Any, T]
) -> T:
    """Return what is read from etcd, or raise `EtcdUnavailable` when the deadline has passed.

    Not `DeadlineExceeded`: that would say that the request may have been acted upon. It is the
    error of a look-up that has no time from the start, for which etcd is not to blame: one that
    was to begin after the deadline does not even ask.
    """
    left = deadline.remaining()
    if not left:
        reading.close()
        raise _too_late(what, deadline)
    try:
        return await within(deadline, what, reading)
    except (DeadlineExceeded, EtcdUnavailable) as error:
        if left < _TICK:
            raise _too_late(what, deadline) from None
        if isinstance(error, EtcdUnavailable):
            raise
        raise etcd.unanswered(f"{what} in etcd", deadline.timeout) from None


def came_too_late(error: BaseException) -> bool:
    """True for the error of a look-up that had no time, before which nothing was sent."""
    return isinstance(error, DeadlineExceeded) and "_too_late" in error.__dict__


def _too_late(what: str, deadline: Deadline) -> DeadlineExceeded:
    error = DeadlineExceeded(what, max(0.0, deadline.timeout))
    error.__dict__["_too_late"] = True
    return error


def registration_of(stored: KeyValue | None) -> Registration | None:
    """The registration in a stored value; None if there is none, or another text."""
    if stored is None:
        return None
    try:
        return decode_registration(stored)
    except MalformedRegistration:
        return None

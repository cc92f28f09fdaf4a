"""Names, addresses and leases."""

from __future__ import annotations

from grid.errors._base import GridError

__all__ = ["AddressInUse", "AddressLocked", "AlreadyRegistered", "LeaseLost", "LeaseTooShort"]


class AddressInUse(GridError, OSError):
    """The port is taken by another process. Choose another, or 0 for any."""

    address: str

    def __init__(self, address: str) -> None:
        super().__init__(
            f"address {address!r} is in use: choose another port, or 0 for a free one",
            address=address,
        )


class AddressLocked(GridError):
    """A peer at this address still holds its lease in etcd.

    It is alive, or it died less than its lease ago: try again later, or take
    another address.
    """

    address: str

    def __init__(self, address: str) -> None:
        super().__init__(
            f"registry: address lock exists after timeout: another peer holds {address}",
            address=address,
        )


class LeaseTooShort(GridError, ValueError):
    """etcd cannot keep so short a lease apart from a pause; ask for more.

    Attributes:
        seconds: the lease that was asked for.
        minimum: the least that is accepted, in seconds.
    """

    seconds: float
    minimum: float

    def __init__(self, seconds: float, minimum: float) -> None:
        super().__init__(
            f"registry: lease duration too short: {seconds:g} s, the minimum is {minimum:g} s",
            seconds=seconds,
            minimum=minimum,
        )


class AlreadyRegistered(GridError):
    """The name has an owner, which keeps it. Nothing was changed.

    Attributes:
        key: the full name in etcd.
        peer: the name of the owner's peer ("" if unknown).
        address: where the owner is.
        epoch: the owner's epoch (0 if unknown).
    """

    key: str
    peer: str
    address: str
    epoch: int

    def __init__(self, key: str, peer: str = "", address: str = "", epoch: int = 0) -> None:
        _, _, kind_and_name = key.partition(".")
        kind, _, name = kind_and_name.partition(".")
        owner = f" by peer {peer!r} at {address}, epoch {epoch}" if peer else ""
        super().__init__(
            f'registering {kind} "{key}": registry: already registered: '
            f"{kind} {name!r} is held{owner}",
            key=key,
            peer=peer,
            address=address,
            epoch=epoch,
        )


class LeaseLost(GridError):
    """This peer's lease ended, so its names may belong to others by now.

    Actors are cancelled with this as the reason; the peer rejoins under a new
    lease unless its policy is to exit.
    """

    reason: str

    def __init__(self, reason: str = "the lease ended") -> None:
        super().__init__(f"registry: lease lost: {reason}", reason=reason)

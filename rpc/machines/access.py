"""Access rules of a machine that is served: which mirrors may read it and mutate which states.

    server = rpc.Server(machine, host, access={"operator-token": Access.all(),
                                               "": Access(mutate={"Called"})})

A rule is chosen by the token that a mirror sends, or by a function of the
visitor. Rules are plain values; the server checks them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from grid.errors import InvalidArgument as InvalidSetting
from machine.core.view import View
from machine.errors import InvalidArgument, did_you_mean, near_names

__all__ = ["Access", "AccessRule", "Visitor", "check_states", "rule_of"]


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of a mirror.

    Attributes:
        read: the states that it may see; None: all.
        mutate: the states that its mutations may call; None: all; empty: none.
        calls: the functions that it may call; None: all.
    """

    read: frozenset[str] | None = None
    mutate: frozenset[str] | None = None
    calls: frozenset[str] | None = None

    def __init__(
        self,
        read: Collection[str] | None = None,
        mutate: Collection[str] | None = None,
        calls: Collection[str] | None = None,
    ) -> None:
        for name, given in (("read", read), ("mutate", mutate), ("calls", calls)):
            if isinstance(given, str):
                raise TypeError(f"{name} must be a collection of names, not a single text")
            object.__setattr__(self, name, None if given is None else frozenset(given))

    @classmethod
    def all(cls) -> Access:
        """Everything."""
        return cls()

    @classmethod
    def read_only(cls, *states: str) -> Access:
        """These states, or all; no mutations and no calls."""
        return cls(read=states or None, mutate=(), calls=())

    def check(self, machine: View) -> None:
        """Raise `InvalidArgument` if it names a state that a machine does not have."""
        check_states("read of an access", self.read or (), machine.names, machine.id)
        check_states("mutate of an access", self.mutate or (), machine.names, machine.id)

    def refused(self, called: Collection[str]) -> list[str]:
        """Those of the called states that may not be mutated."""
        if self.mutate is None:
            return []
        return [name for name in called if name not in self.mutate]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A mirror that asks for access.

    Attributes:
        mirror: its id, as it says.
        token: what it was given to show.
        metadata: of its request, such as what an interceptor added.
    """

    mirror: str
    token: str = field(repr=False)
    metadata: Mapping[str, str]


AccessRule = Callable[[Visitor], Access | None]


def rule_of(given: Access | Mapping[str, Access] | AccessRule | None, machine: View) -> AccessRule:
    """An access rule given as one access for all, by token, or as a function.

    A function, or a mapping without the visitor's token, that gives None refuses
    the visitor. So does a function that raises; after `NotConnected` it comes again.

    Raises:
        InvalidArgument: a token is no text, or an access names a state that the machine does not
            have. What a function returns is checked when it does.
    """
    if given is None:
        return lambda _: Access.all()
    if isinstance(given, Access):
        given.check(machine)
        return lambda _: given
    if isinstance(given, Mapping):
        _check_tokens(given, machine)
        return lambda visitor: _by_token(given, visitor.token)

    if not callable(given):
        raise InvalidSetting("access", given, "an rpc.Access, a mapping of tokens, or a function")

    def checked(visitor: Visitor) -> Access | None:
        access = given(visitor)
        if access is not None:
            if not isinstance(access, Access):
                raise TypeError(f"the rule returned {type(access).__name__}, not an rpc.Access")
            access.check(machine)
        return access

    return checked


def check_states(
    argument: str,
    given: Iterable[str],
    names: Collection[str],
    machine: str,
    shown: Collection[str] | None = None,
) -> None:
    """Raise `InvalidArgument` for a state that a machine does not have.

    Args:
        argument: in which the states are given.
        given: the states.
        names: of the machine's states.
        machine: its id.
        shown: the names that the error may tell; by default all.
    """
    for name in given:
        if name not in names:
            near = near_names(name, names if shown is None else shown)
            raise InvalidArgument(
                f"{argument}: there is no state {name!r}{did_you_mean(near, name)}",
                argument=argument,
                machine=machine,
                state=name,
            )


def _check_tokens(given: Mapping[str, Access], machine: View) -> None:
    for token, access in given.items():
        if not isinstance(token, str) or token != token.encode("utf-8", "ignore").decode():
            expected = "a text that UTF-8 can encode"
            raise InvalidSetting("token of an access", "another value (not shown)", expected)
        if not isinstance(access, Access):
            raise InvalidSetting("access of a token", access, "an rpc.Access")
        access.check(machine)


def _by_token(known: Mapping[str, Access], token: str) -> Access | None:
    found: Access | None = None
    for one, access in known.items():  # all of them, so that time tells nothing of the tokens
        if hmac.compare_digest(one.encode(), token.encode()):
            found = access
    return found

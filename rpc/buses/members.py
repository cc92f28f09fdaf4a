"""Members of services: their paths in the directory, and a view of them. Pure.

A member is a mailbox that serves some methods of a service for one topic, or for none. Its
path is `<service>/<role>/<topic>/<mailbox>`; an exclusive path names no mailbox, so that it
has one owner: `<service>/only/<topic>/<method>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

__all__ = [
    "PUBLISHER",
    "SERVER",
    "SHARD",
    "TOPICAL",
    "Member",
    "MemberTable",
    "exclusive_path",
    "inbox_name",
    "is_exclusive",
    "member_path",
    "parse_path",
    "sanitized",
    "topic_path",
]

SERVER = "srv"
PUBLISHER = "pub"
SHARD = "shd"  # keeps topics
TOPICAL = "top"  # serves topics that shards keep
_ROLES = (SERVER, PUBLISHER, SHARD, TOPICAL)
_EXCLUSIVE = "only"
_NO_TOPIC = "-"
_PLAIN = re.compile(r"[0-9A-Za-z_]")


@dataclass(frozen=True, slots=True)
class Member:
    """A mailbox that serves methods of a service.

    Attributes:
        id: the mailbox's name.
        service: the service's full name.
        role: `SERVER`, `PUBLISHER`, `SHARD` or `TOPICAL`.
        topic: the topic's path; see `topic_path`.
        methods: that it serves.
        peer: the peer that has it.
        epoch: of its registration.
        server: the id of the server that it belongs to.
    """

    id: str
    service: str
    role: str
    topic: str
    methods: frozenset[str]
    peer: str = ""
    epoch: int = 0
    server: str = ""


def inbox_name(service: str, server: str, number: int) -> str:
    """The name of a mailbox of a server, one for each registration."""
    short = service.rpartition(".")[2]
    return f"{short}-{sanitized(server).replace('+', '_')}-{number}"


def _server_of(mailbox: str) -> str:
    parts = mailbox.split("-")
    return parts[1] if len(parts) == 3 else mailbox


def sanitized(part: str) -> str:
    """A text of letters, digits, `_` and `+` for any text; different texts stay different."""
    return "".join(one if _PLAIN.match(one) else _escaped(ord(one)) for one in part)


def _escaped(point: int) -> str:
    return f"u+{point:04x}" if point < 0x10000 else f"U+{point:08x}"


def topic_path(topic: Iterable[str]) -> str:
    """The path of a topic's parameters."""
    parts = tuple(topic)
    return ".".join(map(sanitized, parts)) if parts else _NO_TOPIC


def member_path(service: str, role: str, topic: Iterable[str], mailbox: str) -> str:
    """The path of a member."""
    return f"{service}/{role}/{topic_path(topic)}/{mailbox}"


def exclusive_path(service: str, topic: Iterable[str], method: str) -> str:
    """The path that one server at a time holds for a method and a topic."""
    return f"{service}/{_EXCLUSIVE}/{topic_path(topic)}/{method}"


def is_exclusive(path: str) -> bool:
    """True for an exclusive path."""
    parts = path.split("/")
    return len(parts) == 4 and parts[1] == _EXCLUSIVE


def parse_path(
    path: str, methods: Iterable[str], *, peer: str = "", epoch: int = 0
) -> Member | None:
    """The member of a path; None for an exclusive path and for any other text."""
    parts = path.split("/")
    if len(parts) != 4 or parts[1] not in _ROLES:
        return None
    service, role, topic, mailbox = parts
    methods = frozenset(methods)
    return Member(mailbox, service, role, topic, methods, peer, epoch, _server_of(mailbox))


class MemberTable:
    """A view of a service's members.

    Attributes:
        version: another number after each change.
        on_change: called after each change.
        on_left: called with each member that has left.
    """

    def __init__(self) -> None:
        self.version = 0
        self.on_change: set[Callable[[], object]] = set()
        self.on_left: set[Callable[[Member], object]] = set()
        self._members: dict[str, Member] = {}
        self._places: dict[tuple[str, str], dict[str, Member]] = {}  # by role and topic
        self._found: dict[tuple[str, str], dict[str, tuple[Member, ...]]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def find(self, role: str, topic: str, method: str) -> tuple[Member, ...]:
        """The members of a role that serve a method for a topic, in the order of their ids."""
        place = (role, topic)
        known = self._found.get(place)
        if known is None:
            if place not in self._places:
                return ()
            known = self._found[place] = {}
        found = known.get(method)
        if found is None:
            fitting = (one for one in self._places[place].values() if method in one.methods)
            found = tuple(sorted(fitting, key=lambda one: one.id))
            if found:
                known[method] = found
        return found

    def publishers(self) -> tuple[Member, ...]:
        """The members that publish."""
        return self.of_role(PUBLISHER)

    def of_role(self, role: str) -> tuple[Member, ...]:
        """The members of a role without topics."""
        return tuple(self._places.get((role, _NO_TOPIC), {}).values())

    def put(self, path: str, member: Member) -> None:
        """Note a member; one of an earlier epoch is ignored."""
        known = self._members.get(path)
        if known is not None and known.epoch >= member.epoch:
            return
        if known is not None:
            self._remove(path, known)
        self._members[path] = member
        self._places.setdefault((member.role, member.topic), {})[path] = member
        self._found.pop((member.role, member.topic), None)
        self._changed(known)

    def drop(self, path: str, epoch: int | None = None) -> None:
        """Forget a member, of this epoch or an earlier one if it is given."""
        known = self._members.get(path)
        if known is not None and (epoch is None or known.epoch <= epoch):
            del self._members[path]
            self._remove(path, known)
            self._changed(known)

    def replace(self, members: dict[str, Member], revision: int) -> None:
        """Take a list of all members there were at a revision; later ones stay."""
        for path, known in tuple(self._members.items()):
            if path not in members and known.epoch <= revision:
                self.drop(path)
        for path, member in members.items():
            self.put(path, member)

    def _remove(self, path: str, member: Member) -> None:
        place = (member.role, member.topic)
        there = self._places[place]
        del there[path]
        if not there:
            del self._places[place]
        self._found.pop(place, None)

    def _changed(self, left: Member | None) -> None:
        self.version += 1
        if left is not None:
            for note in tuple(self.on_left):
                note(left)
        for tell in tuple(self.on_change):
            tell()

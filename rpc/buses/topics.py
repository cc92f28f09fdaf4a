"""Topics that are kept by shards, in memory, instead of in etcd. Pure.

Each server of a service that has such topics runs a shard of them. A topic belongs to the two
shards that come next on the ring; its servers tell both. One that leaves takes nothing along: the
other one knows the topic, and its servers tell the next shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from grid.registry.ring import Ring
from rpc.buses.members import SHARD, Member, MemberTable

__all__ = ["SHARDS_OF_A_TOPIC", "ShardRing", "TopicServer", "TopicTable"]

SHARDS_OF_A_TOPIC = 2


@dataclass(frozen=True, slots=True)
class TopicServer:
    """A server of a topic.

    Attributes:
        member: the name of its mailbox.
        server: its id.
        methods: that it serves for the topic.
    """

    member: str
    server: str
    methods: tuple[str, ...]


class TopicTable:
    """The topics of one shard, with their servers."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[str, TopicServer]] = {}
        self._of_member: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._topics)

    def servers(self, topic: str) -> tuple[TopicServer, ...]:
        """The servers of a topic."""
        return tuple(self._topics.get(topic, {}).values())

    def enroll(
        self, member: str, server: str, add: Mapping[str, Iterable[str]], remove: Iterable[str]
    ) -> set[str]:
        """Add and remove topics of a mailbox; returns the topics that changed."""
        changed = {topic for topic in remove if self._remove(topic, member)}
        for topic, methods in add.items():
            there = self._topics.setdefault(topic, {})
            entry = TopicServer(member, server, tuple(methods))
            if there.get(member) != entry:
                there[member] = entry
                self._of_member.setdefault(member, set()).add(topic)
                changed.add(topic)
        return changed

    def drop(self, member: str) -> set[str]:
        """Remove all topics of a mailbox that has left; returns the topics that changed."""
        there = tuple(self._of_member.get(member, ()))
        return {topic for topic in there if self._remove(topic, member)}

    def _remove(self, topic: str, member: str) -> bool:
        there = self._topics.get(topic, {})
        if there.pop(member, None) is None:
            return False
        if not there:
            del self._topics[topic]
        own = self._of_member[member]
        own.discard(topic)
        if not own:
            del self._of_member[member]
        return True


class ShardRing:
    """The shards of a service, as its directory has them.

    Args:
        table: the members of the service.

    Attributes:
        members: the shards by the names of their mailboxes.
    """

    def __init__(self, table: MemberTable) -> None:
        self._table = table
        self._version = -1
        self._ring = Ring(())
        self.members: dict[str, Member] = {}

    def refresh(self) -> bool:
        """Look at the directory; True if there are other shards than before."""
        if self._version == self._table.version:
            return False
        self._version = self._table.version
        found = {one.id: one for one in self._table.of_role(SHARD)}
        if found.keys() == self.members.keys():
            self.members = found
            return False
        self.members = found
        self._ring = Ring(found)
        return True

    def shards_of(self, topic: str) -> tuple[str, ...]:
        """The shards that a topic belongs to; none if there are no shards."""
        return tuple(islice(self._ring.owners(topic), SHARDS_OF_A_TOPIC))

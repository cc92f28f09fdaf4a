"""Services and their methods as the generated code describes them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from grid.texts import check_text

__all__ = ["MethodSpec", "Routing", "ServiceSpec", "check_topic", "go_name"]

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


def check_topic(topic: tuple[str, ...]) -> None:
    """Raise `InvalidArgument` unless each parameter is a text that can be sent."""
    for one in topic:
        check_text("topic", one)


class Routing(enum.StrEnum):
    """The choice of servers for a call."""

    QUEUE = "queue"
    AFFINITY = "affinity"
    MULTI = "multi"


@dataclass(frozen=True)
class MethodSpec(Generic[RequestT, ReplyT]):
    """A method.

    Attributes:
        name: its name in the .proto.
        attribute: its name in Python.
        request: the class of its requests.
        reply: the class of its answers.
        routing: how its servers are chosen.
        topics: the parameters of its topic, none for a method without topics.
        group: methods of one group are registered together.
        single_server: at most one server has a topic.
        subscription: servers publish, clients subscribe.
        stream: a stream of messages both ways.
    """

    name: str
    attribute: str
    request: type[RequestT]
    reply: type[ReplyT]
    routing: Routing = Routing.QUEUE
    topics: tuple[str, ...] = ()
    group: str = ""
    single_server: bool = False
    subscription: bool = False
    stream: bool = False

    @cached_property
    def go_name(self) -> str:
        """Its name on the buses of the psrpc protocol."""
        return go_name(self.name)


@dataclass(frozen=True)
class ServiceSpec:
    """A service.

    Attributes:
        name: its full name, with the package.
        methods: its methods, in the order of the .proto.
        descriptor: its descriptor, for callers without generated code.
    """

    name: str
    methods: tuple[MethodSpec[Any, Any], ...]
    descriptor: Any = None

    @cached_property
    def go_name(self) -> str:
        """Its name on the buses of the psrpc protocol, without the package."""
        return go_name(self.name.rpartition(".")[2])

    @cached_property
    def full_names(self) -> dict[str, str]:
        """`package.Service.Method` by the methods' names."""
        return {method.name: f"{self.name}.{method.name}" for method in self.methods}

    @cached_property
    def by_name(self) -> dict[str, MethodSpec[Any, Any]]:
        """Methods by their name in the .proto."""
        return {method.name: method for method in self.methods}


def go_name(name: str) -> str:
    """The name that Go's protobuf generator gives it: `say_hello` is `SayHello`."""
    made = ""
    for index, letter in enumerate(name):
        following = name[index + 1 : index + 2]
        if letter == "_":
            if index == 0:
                made += "X"
            elif not ("a" <= following <= "z"):
                made += "_"
        elif "a" <= letter <= "z" and (index == 0 or not _continues(name[index - 1])):
            made += letter.upper()
        else:
            made += letter
    return made


def _continues(before: str) -> bool:
    # A lower-case letter stays as it is after a letter, and becomes upper-case after the rest.
    return "a" <= before <= "z" or "A" <= before <= "Z"

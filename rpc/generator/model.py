"""Services as the generator sees them: names, options and comments, checked."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["File", "Message", "Method", "Service"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message class in Python.

    Attributes:
        module: the module that has it, `google.protobuf.struct_pb2`.
        path: its name there, `Outer.Inner`.
        alias: the name of the module in the generated code.
    """

    module: str
    path: str
    alias: str


@dataclass(frozen=True, slots=True)
class Method:
    """A method.

    Attributes:
        name: in the .proto.
        attribute: in Python.
        comment: of the .proto.
        request: its request's class.
        reply: its answer's class.
        routing: `QUEUE`, `AFFINITY` or `MULTI`.
        topics: names of its topic's parameters in Python.
        group: its topic group, "" for none.
        typed: each parameter has a type of its own.
        single_server: at most one server has a topic.
        subscription: servers publish, clients subscribe.
        stream: messages both ways.
        constant: of its specification, unique in the file.
    """

    name: str
    attribute: str
    comment: str
    request: Message
    reply: Message
    routing: str
    topics: tuple[str, ...]
    group: str
    typed: bool
    single_server: bool
    subscription: bool
    stream: bool
    constant: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A service.

    Attributes:
        name: in the .proto, without the package.
        full_name: with the package.
        comment: of the .proto.
        methods: in their order.
        constant: of its specification, unique in the file.
    """

    name: str
    full_name: str
    comment: str
    methods: tuple[Method, ...]
    constant: str

    def groups(self) -> dict[str, tuple[Method, ...]]:
        """Methods by their topic group."""
        found: dict[str, tuple[Method, ...]] = {}
        for method in self.methods:
            if method.group:
                found[method.group] = (*found.get(method.group, ()), method)
        return found

    def topic_types(self) -> tuple[str, ...]:
        """Names of the typed topic parameters, each once."""
        typed = (name for method in self.methods if method.typed for name in method.topics)
        return tuple(dict.fromkeys(typed))


@dataclass(frozen=True, slots=True)
class File:
    """A .proto file with services.

    Attributes:
        name: of the file.
        module: the module of its messages.
        alias: the name of that module in the generated code.
        services: in their order.
    """

    name: str
    module: str
    alias: str
    services: tuple[Service, ...]

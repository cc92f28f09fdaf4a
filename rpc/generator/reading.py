"""From descriptors to the model: options are checked here, with errors that name the method."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

from rpc import options_pb2
from rpc.generator.errors import InvalidOptions
from rpc.generator.model import File, Message, Method, Service
from rpc.generator.names import (
    attribute_name,
    constant_name,
    module_aliases,
    module_name,
    snake,
)

__all__ = ["read_file", "read_messages"]

_SERVICE = 6  # numbers of fields in descriptors, for the places of comments
_METHOD = 2
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Public names of the classes that generated ones derive from, and of `object`.
_TAKEN = frozenset({"close", "id", "start", "shutdown", "kill", "with_interceptors"})
_PARAMETERS = frozenset(
    {"self", "request", "message", "timeout", "metadata", "idempotent", "selection", "size"}
)


def read_messages(files: Iterable[FileDescriptorProto]) -> dict[str, Message]:
    """All message classes of some files, by their full names with a leading dot."""
    files = tuple(files)
    aliases = module_aliases(module_name(file.name) for file in files)
    found: dict[str, Message] = {}
    for file in files:
        package = f".{file.package}" if file.package else ""
        module = module_name(file.name)
        for message in file.message_type:
            _add(message, package, Message(module, "", aliases[module]), found)
    return found


def _add(message: DescriptorProto, scope: str, outer: Message, found: dict[str, Message]) -> None:
    full, path = f"{scope}.{message.name}", f"{outer.path}.{message.name}".lstrip(".")
    inner = found[full] = Message(outer.module, path, outer.alias)
    for nested in message.nested_type:
        _add(nested, full, inner, found)


def read_file(
    file: FileDescriptorProto, messages: Mapping[str, Message], modules: Iterable[str]
) -> File:
    """The services of a file.

    Args:
        file: the file.
        messages: all message classes.
        modules: the modules of all files that were given to the generator.

    Raises:
        InvalidOptions: an option makes no sense, or two names in Python would be the same.
    """
    comments = {
        tuple(place.path): _comment(place.leading_comments or place.trailing_comments)
        for place in file.source_code_info.location
    }
    taken: set[str] = set()
    services = []
    for index, service in enumerate(file.service):
        full_name = f"{file.package}.{service.name}" if file.package else service.name
        methods = tuple(
            _method(
                file, service, method, messages, comments.get((_SERVICE, index, _METHOD, at), "")
            )
            for at, method in enumerate(service.method)
        )
        _check_names(file, service, methods)
        _check_groups(file, service, methods)
        comment = comments.get((_SERVICE, index), "")
        methods = tuple(
            replace(one, constant=_free(f"_{constant_name(service.name, one.name)}", taken))
            for one in methods
        )
        constant = _free(constant_name(service.name), taken)
        services.append(Service(service.name, full_name, comment, methods, constant))
    module = module_name(file.name)
    return File(file.name, module, module_aliases(modules)[module], tuple(services))


def _free(name: str, taken: set[str]) -> str:
    # `Foo.BarBaz` and `FooBar.Baz`, or the services `Foo` and `FOO`, would have the same one.
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _method(
    file: FileDescriptorProto,
    service: ServiceDescriptorProto,
    method: MethodDescriptorProto,
    messages: Mapping[str, Message],
    comment: str,
) -> Method:
    options: Any = method.options.Extensions[options_pb2.method]  # type: ignore[index]

    def wrong(reason: str) -> InvalidOptions:
        return InvalidOptions(file.name, service.name, method.name, reason)

    if method.client_streaming or method.server_streaming:
        raise wrong("write `option (rpc.method).stream = true`, not the keyword `stream`")
    routing = _routing(options, wrong)
    topics = _topics(options, wrong)
    if options.stream and options.subscription:
        raise wrong("a method is a stream or a subscription, not both")
    if options.stream and routing == "MULTI":
        raise wrong("a stream has one server: its type cannot be MULTI")
    if options.subscription and routing == "AFFINITY":
        raise wrong("a subscription has no affinity: its type is QUEUE or MULTI")
    params = options.topic_params
    if params.single_server and (routing != "QUEUE" or options.subscription):
        raise wrong("single_server goes with the type QUEUE, and not with subscriptions")
    if params.group and options.subscription:
        raise wrong("a subscription is not registered, so it has no topic group")
    return Method(
        method.name,
        attribute_name(method.name, _TAKEN),
        comment,
        messages[method.input_type],
        messages[method.output_type],
        routing,
        topics,
        params.group,
        params.typed,
        params.single_server,
        options.subscription,
        options.stream,
    )


def _routing(options: Any, wrong: Any) -> str:
    name = options_pb2.Routing.Name(options.type) if options.type in (0, 1, 2) else ""
    if not name:
        raise wrong(f"type {options.type} is not QUEUE, AFFINITY or MULTI")
    old = [
        spelled
        for field, spelled in (("multi", "MULTI"), ("affinity_func", "AFFINITY"))
        if getattr(options, field)
    ]
    if len(old) == 2 or (old and name not in ("QUEUE", old[0])):
        raise wrong("type, multi and affinity_func contradict each other")
    return old[0] if old else name


def _topics(options: Any, wrong: Any) -> tuple[str, ...]:
    params = options.topic_params
    if not options.topics:
        if options.HasField("topic_params") and not params.single_server:
            raise wrong("topic_params need `topics: true`")
        if params.group or params.names or params.typed:
            raise wrong("topic_params need `topics: true`")
        return ()
    names = tuple(params.names) or ("topic",)
    for name in names:
        if not _PARAMETER.fullmatch(name):
            raise wrong(f"{name!r} cannot be the name of a parameter")
    made = tuple(attribute_name(name, _PARAMETERS) for name in names)
    if len(set(made)) < len(made):
        raise wrong(f"two topic parameters would be called {_double(made)!r}")
    return made


def _check_names(
    file: FileDescriptorProto, service: ServiceDescriptorProto, methods: Sequence[Method]
) -> None:
    seen: dict[str, str] = {}
    for method in methods:
        names = [method.attribute]
        if method.routing == "AFFINITY":
            names.append(f"{method.attribute}_affinity")
        if method.subscription:
            names += [f"subscribe_{snake(method.name)}", f"publish_{snake(method.name)}"]
        if method.topics and not method.subscription:
            names += [f"register_{snake(method.name)}_topic"]
        for name in names:
            other = seen.setdefault(name, method.name)
            if other != method.name:
                raise InvalidOptions(
                    file.name, service.name, method.name, f"it is {name!r} in Python, as {other} is"
                )


def _check_groups(
    file: FileDescriptorProto, service: ServiceDescriptorProto, methods: Sequence[Method]
) -> None:
    first: dict[str, Method] = {}
    for method in methods:
        if not method.group:
            continue
        if not _PARAMETER.fullmatch(method.group):
            raise InvalidOptions(
                file.name, service.name, method.name, f"{method.group!r} cannot name a group"
            )
        other = first.setdefault(method.group, method)
        if (other.topics, other.typed) != (method.topics, method.typed):
            raise InvalidOptions(
                file.name,
                service.name,
                method.name,
                f"its topic has other parameters than that of {other.name}, "
                f"which is in the group {method.group!r}, too",
            )


def _double(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _comment(text: str) -> str:
    lines = [line.removeprefix(" ").rstrip() for line in text.strip("\n").splitlines()]
    return "\n".join(lines).strip()

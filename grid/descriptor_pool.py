"""The descriptor pool that holds the grid's own protobuf messages.

Theory of operation. protobuf keeps one default pool a process, in which a file path and a
full message name can exist once. Code generated from a program's own `.proto` files goes
there, so files of ours in it would exclude files of the same path (`grid/wire.proto`) or
messages of the same name (`grid.Delivery`, in a program with a `package grid` of its own).
Ours are therefore kept in this separate pool: `make proto` points the generated modules of
this package here, to the functions that they otherwise call in protobuf's own modules.

Their names are unaffected, on the wire and in pickles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pool, reflection
from google.protobuf.internal import builder, enum_type_wrapper
from google.protobuf.message import Message

__all__ = [
    "BothPools",
    "BuildMessageAndEnumDescriptors",
    "BuildTopDescriptorsAndMessages",
    "Default",
    "is_own",
]

_POOL = descriptor_pool.DescriptorPool()

BuildMessageAndEnumDescriptors: Callable[[Any, dict[str, Any]], None] = (
    builder.BuildMessageAndEnumDescriptors
)


def Default() -> descriptor_pool.DescriptorPool:  # noqa: N802  # called by generated code
    """The pool of the grid's own messages."""
    return _POOL


def BuildTopDescriptorsAndMessages(  # noqa: N802  # called by generated code
    file: Any, module_name: str, module: dict[str, Any]
) -> None:
    """Add the classes and enums of a `.proto` file to the namespace of its generated module.

    protobuf's own builder also registers each class in the default pool when protobuf runs
    without its C extension; this one does not.
    """
    for name, enum in file.enum_types_by_name.items():
        module[f"_{name.upper()}"] = enum
        module[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        module.update((value.name, value.number) for value in enum.values)
    for name, service in file.services_by_name.items():
        module[f"_{name.upper()}"] = service
    for name, message in file.message_types_by_name.items():
        module[name] = _message_class(message, module_name, "")


def _message_class(descriptor: Any, module_name: str, outer: str) -> Any:
    qualified_name = f"{outer}{descriptor.name}"
    attributes = {
        "DESCRIPTOR": descriptor,
        "__module__": module_name,
        "__qualname__": qualified_name,
    }
    for name, nested in descriptor.nested_types_by_name.items():
        attributes[name] = _message_class(nested, module_name, f"{qualified_name}.")
    return reflection.GeneratedProtocolMessageType(descriptor.name, (Message,), attributes)


def is_own(message: type[Message]) -> bool:
    """True for a message class of the grid itself."""
    return message.DESCRIPTOR.file.pool is _POOL


class BothPools:
    """Lookups in the grid's own pool first and in protobuf's default pool second.

    It has the `Find...` methods of a descriptor pool, which raise `KeyError`; gRPC
    reflection takes it for one.
    """

    def __getattr__(self, method: str) -> Any:
        own, default = getattr(_POOL, method), getattr(descriptor_pool.Default(), method)

        def find(*arguments: Any) -> Any:
            try:
                return own(*arguments)
            except KeyError:
                return default(*arguments)

        return find

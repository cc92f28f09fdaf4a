"""Names in Python for names in .proto files."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["attribute_name", "constant_name", "module_aliases", "module_name", "type_name"]

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(name: str) -> str:
    """`SayHello` and `sayHello` as `say_hello`, `GetURL` as `get_url`."""
    return _WORDS.sub("_", name).lower()


def attribute_name(name: str, taken: frozenset[str] = frozenset()) -> str:
    """The name of an attribute or a parameter; one that Python or the base class has gets a `_`.

    One that begins with a `_`, as those that the base class has for itself do, has it at its end.
    """
    made = snake(name)
    public = made.lstrip("_")
    if keyword.iskeyword(made) or made in taken or public != made:
        made = (public or made) + "_"
    return made


def constant_name(*parts: str) -> str:
    """`GREETER_SAY_HELLO` for `Greeter` and `SayHello`."""
    return "_".join(snake(part).upper() for part in parts)


def type_name(name: str) -> str:
    """`Region` for `region`, as the name of a type."""
    return "".join(part[:1].upper() + part[1:] for part in snake(name).split("_"))


def module_name(proto: str) -> str:
    """The module that protoc makes of a .proto file."""
    return proto.removesuffix(".proto").replace("-", "_").replace("/", ".") + "_pb2"


def module_aliases(modules: Iterable[str]) -> dict[str, str]:
    """Names of modules in generated code: `_shop_pb2`, with the package where two are alike."""
    modules = tuple(dict.fromkeys(modules))
    last = Counter(module.rpartition(".")[2] for module in modules)
    return {
        module: f"_{short}"
        if last[short := module.rpartition(".")[2]] == 1
        else "_" + module.replace("_", "__").replace(".", "_")
        for module in modules
    }

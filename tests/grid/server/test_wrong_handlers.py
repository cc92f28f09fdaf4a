"""Handlers, hooks and references that are refused where they are written."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from google.protobuf.wrappers_pb2 import Int64Value

import grid
from grid.errors import InvalidArgument
from grid.wire_pb2 import EchoMsg


class Counter:
    """A base with a handler."""

    @grid.handler
    async def add(self, by: Int64Value) -> Int64Value:
        return by


def two() -> type:
    class Two:
        @grid.handler
        async def one(self, message: EchoMsg) -> None: ...
        @grid.handler
        async def other(self, message: EchoMsg) -> None: ...

    return Two


def unannotated() -> type:
    class Unannotated:
        @grid.handler
        async def one(self, message):  # type: ignore[no-untyped-def]
            ...

    return Unannotated


def no_message() -> type:
    class NoMessage:
        async def plain(self, message: str) -> None: ...

        one = grid.handler(cast("Any", plain))

    return NoMessage


def unknown_type() -> type:
    class UnknownType:
        @grid.handler
        async def one(self, message: "Nowhere") -> None:  # type: ignore[name-defined] # noqa: F821
            ...

    return UnknownType


def no_expression() -> type:
    class NoExpression:
        async def plain(self, message: Any) -> None: ...

        plain.__annotations__["message"] = "no type"
        one = grid.handler(cast("Any", plain))

    return NoExpression


def no_parameter() -> type:
    class NoParameter:
        @grid.handler  # type: ignore[arg-type]
        async def one(self) -> None: ...

    return NoParameter


def unknown_parameter() -> type:
    class UnknownParameter:
        @grid.handler
        async def one(self, message: EchoMsg, database: dict[str, str]) -> None: ...

    return UnknownParameter


def returns_text() -> type:
    class ReturnsText:
        @grid.handler
        async def one(self, message: EchoMsg) -> str:
            return ""

    return ReturnsText


def override() -> type:
    class Override(Counter):
        async def add(self, by: Int64Value) -> Int64Value:  # type: ignore[override]
            return by

    return Override


def plain_stream() -> type:
    class PlainStream:
        @grid.handler
        def one(self, message: EchoMsg, stream: grid.Stream) -> None: ...

    return PlainStream


def plain_hook() -> type:
    class PlainHook:
        def on_start(self) -> None: ...
        @grid.handler
        async def one(self, message: EchoMsg) -> None: ...

    return PlainHook


def act_and_handler() -> type:
    class ActAndHandler(Counter):
        async def act(self, ctx: grid.ActorContext) -> None: ...

    return ActAndHandler


def act_that_yields() -> type:
    class ActThatYields:
        async def act(self, ctx: grid.ActorContext) -> AsyncIterator[EchoMsg]:
            yield EchoMsg()

    return ActThatYields


def function_that_yields() -> Callable[..., Any]:
    async def ticker(ctx: grid.ActorContext) -> AsyncIterator[EchoMsg]:
        yield EchoMsg()

    return ticker


def blocking_function_that_yields() -> Callable[..., Any]:
    def ticker(ctx: grid.sync.BlockingContext) -> Iterator[EchoMsg]:
        yield EchoMsg()

    return ticker


BAD: dict[str, tuple[Callable[[], Callable[..., Any]], str]] = {
    "two": (two, "'one' takes it"),
    "unannotated": (unannotated, "annotation of 'message' of handler Unannotated.one"),
    "no message": (no_message, "must be a protobuf message"),
    "unknown type": (unknown_type, "Nowhere"),
    "no expression": (no_expression, "no type"),
    "no parameter": (no_parameter, "a function of a message"),
    "unknown parameter": (unknown_parameter, "annotation of 'database'"),
    "returns text": (returns_text, "return annotation of handler ReturnsText.one"),
    "override": (override, "mark it with @grid.handler"),
    "plain stream": (plain_stream, "an async function"),
    "plain hook": (plain_hook, "on_start must be an async function"),
    "act and handler": (act_and_handler, "act.self, ctx. or one with @grid.handler, not both"),
    "act that yields": (act_that_yields, "without one, not .*act.., which has a yield"),
    "function that yields": (function_that_yields, "not .*ticker.., which has a yield"),
    "blocking yields": (blocking_function_that_yields, "not .*ticker.., which has a yield"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_handlers_are_refused_when_defined(name: str) -> None:
    make, text = BAD[name]
    server = grid.Server()
    with pytest.raises(InvalidArgument, match=text):
        server.actor("bad")(make())


def test_wrong_arguments_are_refused(grid_namespace: str) -> None:
    server = grid.Server(grid_namespace)
    with pytest.raises(InvalidArgument, match="concurrency must be 1 or more, not 0"):
        server.actor("a", concurrency=0)
    with pytest.raises(InvalidArgument, match="concurrency must be 1 for an actor without"):

        @server.actor("a", concurrency=2)
        async def loop(ctx: grid.ActorContext) -> None: ...

    with pytest.raises(InvalidArgument, match="a handler must be a function"):
        grid.handler("x")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="no act"):

        @server.actor("a")
        class Nothing: ...

    greeter = server.handlers("greeter")

    @greeter
    async def one(message: EchoMsg) -> None: ...

    with pytest.raises(InvalidArgument, match="'one' takes it"):

        @greeter
        async def other(message: EchoMsg) -> None: ...


async def test_concurrency_of_what_a_factory_makes_needs_handlers(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async def loop(ctx: grid.ActorContext) -> None: ...

    grid_server.define("loop", lambda _: loop, concurrency=2)
    with pytest.raises(InvalidArgument, match="concurrency must be 1"):
        await grid_client.start_actor("loop")

"""Handlers: methods or functions that each serve one type of message.

    @server.actor("greeter")
    class Greeter:
        @grid.handler
        async def greet(self, hello: Hello) -> Greeting: ...

The annotation of a handler's first parameter says which messages it takes, its return annotation
what it answers. This module reads declarations and checks them; it runs nothing. An actor of a
class with handlers serves its mailbox by them (`grid.server.handling`), and a client makes a
typed reference of the class (`Client.actor`).

There are three kinds. A function that returns a message answers a request. An async generator
serves a stream of one direction: each message that it yields is an item. A function with a
parameter of type `Stream` serves a stream both ways. Further parameters are filled in by their
annotation where the handler is run; the client's side does not see them.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, Protocol, Self, TypeVar, overload

from google.protobuf.message import Message

from grid.aio import Opening
from grid.codec import default_codec
from grid.errors import InvalidArgument, UnsupportedMessage
from grid.plain import AnyMessage, is_message_type
from grid.stream import Stream

__all__ = [
    "Declaration",
    "HandlerKind",
    "HandlerMethod",
    "HandlerTable",
    "declaration_of",
    "handler",
    "table_of",
]

S = TypeVar("S")
M = TypeVar("M", bound=AnyMessage, contravariant=True)
R = TypeVar("R", covariant=True)


class HandlerKind(enum.Enum):
    """The exchange that a handler serves."""

    REQUEST = "request"
    ITEMS = "items"  # a stream of what it yields
    STREAM = "stream"  # both ways

    @property
    def opens_stream(self) -> bool:
        """True for the kinds that serve streams."""
        return self is not HandlerKind.REQUEST


@dataclass(frozen=True, slots=True)
class Declaration:
    """A handler as its signature declares it.

    Attributes:
        name: of the function.
        function: what is called; of a class, not bound yet.
        kind: the exchange that it serves.
        messages: the types of message that it takes; `Message` itself takes all others.
        reply: the type of the answer or of the items; None for an empty answer (`Ack`).
        may_be_empty: True if returning None is an empty answer too.
        stream: the parameter for the stream, "" for none.
        others: the parameters after the message that are filled in by their annotation.
        blocking: True for a plain function, which runs in a thread.
    """

    name: str
    function: Callable[..., Any]
    kind: HandlerKind
    messages: tuple[type[Any], ...]
    reply: type[Any] | None
    may_be_empty: bool
    stream: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)
    blocking: bool = False


class RequestCall(Protocol[M, R]):
    """A handler of requests as its callers see it."""

    def __call__(
        self,
        message: M,
        /,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotent: bool = False,
        wait: bool = False,
    ) -> Awaitable[R]:
        """Send a message to the actor and return its answer; see `Client.request`."""


class ItemsCall(Protocol[M, R]):
    """A handler that yields items as its callers see it."""

    def __call__(
        self,
        message: M,
        /,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[R]:
        """Open a stream to the actor and iterate over its items; see `Client.stream`."""


class StreamCall(Protocol[M]):
    """A handler of streams as its callers see it."""

    def __call__(
        self,
        message: M,
        /,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Opening[Stream]:
        """Open a stream to the actor; see `Client.stream`."""


CallT = TypeVar("CallT", covariant=True)


class HandlerMethod(Generic[CallT]):
    """A method that `handler` has marked. On an instance it is the method itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.name: str = getattr(function, "__name__", repr(function))
        self.owner: type | None = None

    def __repr__(self) -> str:
        return f"<handler {self.name}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> CallT: ...

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        return types.MethodType(self.__wrapped__, instance)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function itself, as a test of it does."""
        return self.__wrapped__(*arguments, **named)


# The first that fits counts: each is a case of the ones below it.
@overload
def handler(  # type: ignore[overload-overlap]
    function: Callable[[S, M, Stream], Awaitable[None]], /
) -> HandlerMethod[StreamCall[M]]: ...
@overload
def handler(  # type: ignore[overload-overlap]
    function: Callable[Concatenate[S, M, ...], AsyncIterator[R]], /
) -> HandlerMethod[ItemsCall[M, R]]: ...
@overload
def handler(
    function: Callable[Concatenate[S, M, ...], Awaitable[R]], /
) -> HandlerMethod[RequestCall[M, R]]: ...
@overload
def handler(
    function: Callable[Concatenate[S, M, ...], R], /
) -> HandlerMethod[RequestCall[M, R]]: ...


def handler(function: Callable[..., Any], /) -> Any:
    """Decorator: a method that serves the messages of its first parameter's type.

    What it returns is the answer; without a return annotation, or with `None`, the answer is
    empty. An exception fails the request at its caller as `RequestFailed`, and does not end the
    actor. An async generator serves a stream with what it yields; a method with a parameter of
    type `grid.Stream` serves a stream both ways. A plain function runs in a thread.

    Further parameters may ask by their annotation for the `grid.ActorContext` or the
    `grid.Request` (metadata, deadline).

    Raises:
        InvalidArgument: it is not a function.
    """
    if isinstance(function, HandlerMethod):
        return function
    if not inspect.isroutine(function) or isinstance(function, (staticmethod, classmethod)):
        raise InvalidArgument("a handler", function, "a function or a method of the instance")
    return HandlerMethod(function)


class HandlerTable:
    """Handlers by kind of exchange and type of message.

    Attributes:
        declarations: all of them, in the order of their definition.
    """

    def __init__(self, owner: str) -> None:
        self.declarations: list[Declaration] = []
        self._owner = owner
        self._by_type: dict[tuple[bool, type], Declaration] = {}

    def __len__(self) -> int:
        return len(self.declarations)

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self.declarations)

    def add(self, declaration: Declaration) -> None:
        """Add a handler. Raises `InvalidArgument` if its messages have one already."""
        opens_stream = declaration.kind.opens_stream
        for message in declaration.messages:
            other = self._by_type.setdefault((opens_stream, message), declaration)
            if other is not declaration:
                what = "streams" if opens_stream else "requests"
                raise InvalidArgument(
                    f"handler {declaration.name!r} of {self._owner}",
                    message.__name__,
                    f"a message without a handler of {what}: {other.name!r} takes it",
                )
        self.declarations.append(declaration)

    def find(self, message: type, *, opens_stream: bool) -> Declaration | None:
        """The handler for a type of message, or None."""
        found = self._by_type.get((opens_stream, message))
        return found or self._by_type.get((opens_stream, Message))

    def named(self, name: str) -> Declaration | None:
        """The handler of that name, or None."""
        return next((one for one in self.declarations if one.name == name), None)

    def takes(self, *, opens_stream: bool) -> str:
        """Names of the messages that are served, for errors."""
        names = [one.__name__ for streams, one in self._by_type if streams is opens_stream]
        return ", ".join(names) or "none"


def table_of(cls: type) -> HandlerTable:
    """The handlers of a class; empty if it has none.

    Raises:
        InvalidArgument: a signature does not say which messages are taken, two handlers take
            the same, or a method overrides a handler without being one.
    """
    table = HandlerTable(cls.__name__)
    marked: dict[str, HandlerMethod[Any]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, HandlerMethod):
                marked[name] = value
            elif name in marked:
                raise InvalidArgument(
                    f"{base.__name__}.{name}, which overrides a handler,",
                    value,
                    "a handler, too: mark it with @grid.handler",
                )
    for name, method in marked.items():
        table.add(declaration_of(method.__wrapped__, name, owner=cls.__name__, bound=True))
    return table


def declaration_of(
    function: Callable[..., Any], name: str = "", *, owner: str = "", bound: bool = False
) -> Declaration:
    """Read a handler's signature.

    Args:
        function: the handler.
        name: its name; by default the function's.
        owner: the name of its class, for errors.
        bound: True if its first parameter is the instance.

    Raises:
        InvalidArgument: the signature does not say which messages are taken, or what is answered.
    """
    name = name or function.__name__
    what = f"handler {owner + '.' if owner else ''}{name}"
    hints = _hints(function, what)
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise InvalidArgument(what, f"{name}()", "a function of a message")
    first, *others = parameters
    messages = _messages(hints.get(first.name), what, first.name)
    stream, wanted = "", {}
    for other in others:
        annotation = hints.get(other.name)
        if annotation is Stream:
            stream = other.name
        elif other.default is inspect.Parameter.empty:
            if other.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                raise InvalidArgument(what, f"*{other.name}", "parameters that have a name")
            wanted[other.name] = annotation
    yields = inspect.isasyncgenfunction(function)
    if inspect.isgeneratorfunction(function) or (yields and stream):
        raise InvalidArgument(what, "a generator", "an async generator without a stream")
    kind = HandlerKind.ITEMS if yields else HandlerKind.STREAM if stream else HandlerKind.REQUEST
    blocking = kind is HandlerKind.REQUEST and not inspect.iscoroutinefunction(function)
    if kind is HandlerKind.STREAM and not inspect.iscoroutinefunction(function):
        raise InvalidArgument(what, "a plain function with a stream", "an async function")
    reply, may_be_empty = _reply(hints.get("return", Any), kind, what)
    _learn((*messages, *([] if reply is None else [reply])), what)
    return Declaration(
        name, function, kind, messages, reply, may_be_empty, stream, wanted, blocking
    )


def _hints(function: Callable[..., Any], what: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise InvalidArgument(
            what, f"an annotation that cannot be read ({error})", "types known in its module"
        ) from error


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _messages(annotation: Any, what: str, parameter: str) -> tuple[type, ...]:
    members = _members(annotation)
    for member in members:
        if not is_message_type(member):
            raise InvalidArgument(
                f"the annotation of {parameter!r} of {what}",
                "missing" if annotation is None else annotation,
                "a protobuf message or a dataclass, as in `hello: Hello` or `ping: Ping | Pong`",
            )
    return members


def _reply(annotation: Any, kind: HandlerKind, what: str) -> tuple[type | None, bool]:
    if annotation is Any:
        return Message, True
    if kind is HandlerKind.ITEMS:
        annotation = (*typing.get_args(annotation), Message)[0]
    members = [one for one in _members(annotation) if one not in (None, type(None))]
    if not members:
        return None, True
    if kind is HandlerKind.STREAM or not all(map(is_message_type, members)):
        expected = "None" if kind is HandlerKind.STREAM else "a message or None"
        raise InvalidArgument(f"the return annotation of {what}", annotation, expected)
    return members[0] if len(members) == 1 else Message, len(members) < len(_members(annotation))


def _learn(types: Iterable[type], what: str) -> None:
    # A program that has a handler for a plain class knows the class, and so do its clients.
    for one in types:
        try:
            default_codec.learn(one)
        except (ValueError, UnsupportedMessage) as error:
            raise InvalidArgument(f"a type of {what}", one, f"another one: {error}") from error

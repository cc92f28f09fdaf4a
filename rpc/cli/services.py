"""`grid services` lists services and their servers; `grid call` calls a method of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from google.protobuf.message import Message

from grid.client.client import Client as GridClient
from grid.errors import InvalidArgument
from rpc.buses.grid import GridBus
from rpc.cli.options import (
    ETCD,
    FAILED,
    NOT_FOUND,
    TIMED_OUT,
    Etcd,
    Format,
    Namespace,
    Output,
    Timeout,
    new_client,
)
from rpc.cli.rows import Row, print_rows
from rpc.services.client import ServiceClient
from rpc.services.dynamic import DynamicService, ServiceListing, fetch_service, list_services
from rpc.services.errors import CallTimedOut, NoServers, ServiceError
from rpc.services.specification import MethodSpec, Routing

__all__ = ["call", "services"]

_COLUMNS = ("service", "servers", "topics", "methods")


def services(
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """List the services that are served, with their servers, methods and topics."""
    return _run(_services(new_client(etcd, namespace, timeout), output))


async def _services(grid_client: GridClient, output: Format) -> int:
    async with grid_client as client:
        found = await list_services(client.etcd, client.namespace)
    rows = [_row(one) for one in found]
    print_rows(rows, _COLUMNS, output, "no services are served there", cell=_cell)
    return 0


def _row(listing: ServiceListing) -> Row:
    return {
        "service": listing.name,
        "servers": sorted(listing.servers),
        "peers": sorted(listing.peers),
        "methods": sorted(listing.methods),
        "topics": sorted(listing.topics),
    }


def _cell(column: str, value: Any) -> str:
    if column == "methods":
        return ", ".join(value)
    return str(len(value) if isinstance(value, list) else value)


def call(
    service: Annotated[str, typer.Argument(help="the service; its last name if that is unique")],
    method: Annotated[str, typer.Argument(help="the method, as in the .proto")],
    request: Annotated[str, typer.Argument(help="the request in JSON")] = "{}",
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", "-t", help="a parameter of the topic; once for each"),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="K=V", help="for the server")
    ] = None,
    etcd: Etcd = ETCD,
    namespace: Namespace = "default",
    timeout: Timeout = 10.0,
    output: Output = Format.TABLE,
) -> int:
    """Call a method of a service; no generated code is needed.

    The answer is printed as JSON; of a method with several answers, and of a subscription until
    Ctrl-C, a line for each.

    $ grid call weather.Weather Now '{"name": "Oslo"}'
    $ grid call Weather Region '{"name": "Chur"}' --topic alps
    """
    order = _Order(service, method, request, tuple(topic or ()), tuple(metadata or ()), output)
    _check_json(request)
    try:
        return _run(_call(new_client(etcd, namespace, timeout), order, timeout))
    except KeyboardInterrupt:
        if order.follows:  # its usual end
            return 0
        raise


@dataclass(slots=True)
class _Order:
    """The command line of `grid call`; it `follows` once it is known to be a subscription."""

    service: str
    method: str
    request: str
    topic: tuple[str, ...]
    metadata: tuple[str, ...]
    output: Format
    follows: bool = False


async def _call(grid_client: GridClient, order: _Order, timeout: float) -> int:
    async with grid_client as client:
        name = await _full_name(client, order.service)
        bus = GridBus(client)
        try:
            found = await fetch_service(bus, name, timeout)
            method = _method(found, order)
            async with ServiceClient(found.spec, bus, timeout=timeout) as caller:
                return await _perform(caller, found, method, order)
        finally:
            await bus.close()


async def _full_name(client: GridClient, given: str) -> str:
    names = [one.name for one in await list_services(client.etcd, client.namespace)]
    fitting = [one for one in names if one == given or one.rpartition(".")[2] == given]
    if given in fitting or len(fitting) == 1:
        return given if given in fitting else fitting[0]
    if not fitting:
        known = ", ".join(names) or "none"
        raise NoServers(f"no server of {given!r} is registered; services here: {known}")
    raise InvalidArgument("SERVICE", given, f"one of {', '.join(fitting)}")


def _method(found: DynamicService, order: _Order) -> MethodSpec[Any, Any]:
    method = found.spec.by_name.get(order.method)
    if method is None:
        known = ", ".join(found.spec.by_name)
        raise InvalidArgument("METHOD", order.method, f"one of {known}")
    if method.stream:
        raise InvalidArgument("METHOD", order.method, "one that is not a stream")
    _check_topic(method, order.topic)
    return method


def _check_json(text: str) -> None:
    try:
        json.loads(text)
    except RecursionError:
        raise InvalidArgument("REQUEST", f"{text[:40]}...", "JSON that is less nested") from None
    except ValueError as error:
        raise InvalidArgument("REQUEST", text, f"JSON ({error})") from None


def _check_topic(method: MethodSpec[Any, Any], topic: tuple[str, ...]) -> None:
    if len(topic) == len(method.topics):
        return
    given = f"{_times(len(topic))} ({', '.join(topic)})" if topic else "left out"
    if not method.topics:
        wanted = f"left out, for {method.name} has no topic"
    else:
        wanted = f"given {_times(len(method.topics))}, for {', '.join(method.topics)}"
    raise InvalidArgument("--topic", given, wanted)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _request(found: DynamicService, method: MethodSpec[Any, Any], text: str) -> Message:
    full_name = method.request.DESCRIPTOR.full_name
    # Some messages of protobuf itself, such as `StringValue`, are other JSON than an object.
    if not isinstance(json.loads(text), dict) and not full_name.startswith("google.protobuf."):
        names = ", ".join(field.json_name for field in method.request.DESCRIPTOR.fields)
        wanted = f"an object with fields of {full_name} ({names or 'it has none'})"
        raise InvalidArgument("REQUEST", text, wanted)
    try:
        message: Message = json_format.Parse(text, method.request(), descriptor_pool=found.pool)
    except json_format.ParseError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InvalidArgument("REQUEST", text, f"the JSON of a {full_name} ({reason})") from None
    return message


async def _perform(
    caller: ServiceClient, found: DynamicService, method: MethodSpec[Any, Any], order: _Order
) -> int:
    def show(message: Message) -> Any:
        return json_format.MessageToDict(message, descriptor_pool=found.pool)

    if method.subscription:
        order.follows = True
        async with caller._subscribe(method, order.topic, 1000) as updates:
            async for update in updates:
                _print(show(update), order.output, of_several=True)
        return 0
    request = _request(found, method, order.request)
    metadata = _metadata(order.metadata)
    if method.routing is Routing.MULTI:
        return await _all(caller, method, order, request, metadata, show)
    if method.routing is Routing.AFFINITY:
        reply = await caller._call_best(method, order.topic, request, None, metadata, None)
    else:
        reply = await caller._call(method, order.topic, request, None, metadata)
    _print(show(reply), order.output, of_several=False)
    return 0


async def _all(
    caller: ServiceClient,
    method: MethodSpec[Any, Any],
    order: _Order,
    request: Message,
    metadata: dict[str, str],
    show: Any,
) -> int:
    code = 0
    async for outcome in caller._call_all(method, order.topic, request, None, metadata):
        line = {"member": outcome.member}
        if outcome.error is None:
            line["reply"] = show(outcome.result())
        else:
            line["error"] = str(outcome.error)
            code = FAILED
        _print(line, order.output, of_several=True)
    return code


def _metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InvalidArgument("--metadata", pair, "KEY=VALUE")
        found[key] = value
    return found


def _print(data: Any, output: Format, *, of_several: bool) -> None:
    lines = output is Format.JSONL or of_several
    typer.echo(json.dumps(data, indent=None if lines else 2, ensure_ascii=False))


def _run(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except ServiceError as error:
        typer.echo(f"error: {error.code}: {error}", err=True)
        if isinstance(error, NoServers):
            return NOT_FOUND
        return TIMED_OUT if isinstance(error, CallTimedOut) else FAILED

"""Definitions of actors: async functions, also behind a partial."""

import functools

import grid
from grid.wire_pb2 import EchoMsg


async def test_a_partial_of_an_async_function_is_no_blocking_one(
    grid_server: grid.Server, grid_client: grid.Client
) -> None:
    async def greet(greeting: str, ctx: grid.ActorContext) -> None:
        async for request in ctx.mailbox:
            request.respond(EchoMsg(msg=f"{greeting} from {ctx.name}"))

    grid_server.define("greet", lambda _: functools.partial(greet, "hi"), mailbox=4)
    await grid_client.start_actor("greet")
    assert await grid_client.request("greet", EchoMsg()) == EchoMsg(msg="hi from greet")

"""The app that the tests of the command serve."""

from __future__ import annotations

import json
import logging

from google.protobuf import api_pb2

import grid
from grid.errors import RequestFailed

__all__ = ["make_server", "server"]

server = grid.Server("cli", lease=2, drain_timeout=2)
grid.register(api_pb2.Api)
not_a_server = 7


def make_server() -> grid.Server:
    """A server that a function makes."""
    return grid.Server("made", lease=2)


def make_nothing() -> None:
    """Not a server."""


@server.actor("leader")
async def leader(ctx: grid.ActorContext) -> None:
    """Leads by being there."""
    await ctx.stopping.wait()


@server.actor("echo", mailbox=8)
async def echo(ctx: grid.ActorContext) -> None:
    """Answers with what it gets."""
    async for request in ctx.mailbox:
        request.respond(request.message)


@server.actor("about", mailbox=8)
async def about(ctx: grid.ActorContext) -> None:
    """Answers with its data and the request's metadata."""
    async for request in ctx.mailbox:
        said = {"data": ctx.data.decode(), "metadata": dict(request.metadata)}
        request.respond(grid.EchoMsg(msg=json.dumps(said)))


@server.actor("mute", mailbox=8)
async def mute(ctx: grid.ActorContext) -> None:
    """Never answers."""
    kept = [request async for request in ctx.mailbox]
    logging.getLogger("app").info("%d requests were not answered", len(kept))


@server.actor("angry", mailbox=8)
async def angry(ctx: grid.ActorContext) -> None:
    """Answers with an error."""
    async for request in ctx.mailbox:
        request.fail(RequestFailed("not today"))


@server.actor("fragile", mailbox=8, restart=grid.Restart(pause=0.01, limit=1))
async def fragile(ctx: grid.ActorContext) -> None:
    """Fails at each request; the second time for good."""
    async for request in ctx.mailbox:
        request.ack()
        raise OSError("no\ndisk")


@server.actor("sleeper", mailbox=8)
async def sleeper(ctx: grid.ActorContext) -> None:
    """Wants to be reminded after as many seconds as a message says."""
    async for request in ctx.mailbox:
        assert isinstance(request.message, grid.EchoMsg)
        await ctx.remind("ring", request.message, after=float(request.message.msg))
        request.ack()


@server.actor("steady", keep=2)
async def steady(ctx: grid.ActorContext) -> None:
    """Is kept."""
    await ctx.stopping.wait()


@server.actor("stubborn")
async def stubborn(ctx: grid.ActorContext) -> None:
    """Takes its time to end."""
    await ctx.stopping.wait()
    logging.getLogger("app").warning("stubborn goes on")
    await ctx.client.wait_until_serving("nobody", timeout=60)


print("the app is imported")

"""A peer with greeters. Run three of it: `grid dev hello:server --peers 3`."""

import grid

server = grid.Server()


@server.actor("greeter", mailbox=64)
async def greeter(ctx: grid.ActorContext) -> None:
    async for request in ctx.mailbox:
        match request.message:
            case grid.EchoMsg(msg=msg):
                request.respond(grid.EchoMsg(msg=f"{msg} from {ctx.name} on {ctx.peer}"))
            case other:
                request.fail(f"cannot greet a {type(other).__name__}")

"""Three servers in two regions; rooms are opened and talked in, and one server is killed."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from google.protobuf.empty_pb2 import Empty

import grid
from examples.rooms.rooms_grid import RoomsClient, RoomsRoom
from examples.rooms.rooms_pb2 import Line, Room
from grid.embedded import Etcd
from rpc.services import ServiceError

SERVERS = {"anna": "eu", "bert": "eu", "cleo": "us"}
ROOMS = [f"room-{number}" for number in range(6)]


async def start(etcd: str, name: str, region: str) -> asyncio.subprocess.Process:
    """Start a server; it is registered when this returns."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "examples.rooms.server",
        etcd,
        name,
        region,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdout is not None:
        await process.stdout.readline()
    return process


def stop(process: asyncio.subprocess.Process) -> None:
    """Kill a server unless it has ended."""
    if process.returncode is None:
        process.kill()


async def main() -> None:
    """Tell the story."""
    async with AsyncExitStack() as stack:
        etcd = stack.enter_context(Etcd()).endpoint
        servers = {name: await start(etcd, name, region) for name, region in SERVERS.items()}
        for process in servers.values():
            stack.push_async_callback(process.wait)
            stack.callback(stop, process)
        grid_client = await stack.enter_async_context(grid.Client("rooms", etcd=etcd))
        client = await stack.enter_async_context(RoomsClient(grid_client, timeout=10.0))
        heard = await stack.enter_async_context(client.subscribe_heard())

        homes: dict[str, str] = {}
        for room in ROOMS:
            homes[room] = (await client.open(Room(name=room))).server
        for name in SERVERS:
            print(f"{name} has {', '.join(room for room in ROOMS if homes[room] == name)}")
        loads = await client.load("eu", Empty())
        print(f"eu: {', '.join(sorted(f'{one.member} {one.result().rooms}' for one in loads))}")

        servers["bert"].kill()
        await servers["bert"].wait()
        print("bert is killed")
        said = lost = 0
        for room in ROOMS:
            try:
                await client.say(RoomsRoom(room), Line(text="is anybody here?"))
            except ServiceError:
                lost += 1
            else:
                said += 1
        lines = [await asyncio.wait_for(anext(heard), 10) for _ in range(said)]
        print(f"{said} rooms answered, and {len(lines)} lines were heard; {lost} went with bert")

        for room in (one for one in ROOMS if homes[one] == "bert"):
            homes[room] = await open_again(client, room)
            await client.say(RoomsRoom(room), Line(text="here we are again"))
            line = await asyncio.wait_for(anext(heard), 10)
            print(f"{line.room} is on {line.server} now: {line.text}")


async def open_again(client: RoomsClient, room: str) -> str:
    """Open a room elsewhere, once the lease of its server is over."""
    while True:
        try:
            return (await client.open(Room(name=room))).server
        except ServiceError as error:  # the room still has its server in the directory
            if error.code not in ("already_exists", "unavailable"):
                raise
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(main())

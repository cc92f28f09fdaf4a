"""A server of rooms, a process of its own: `python -m examples.rooms.server ETCD NAME REGION`."""

from __future__ import annotations

import asyncio
import sys

from google.protobuf.empty_pb2 import Empty

import grid
from examples.rooms.rooms_grid import RoomsBase, RoomsRoom, RoomsServer
from examples.rooms.rooms_pb2 import Line, Place, Room
from rpc.services import CallContext, ServiceError

MOST = 10  # rooms of one server


class Rooms(RoomsBase):
    """The rooms of one server."""

    server: RoomsServer

    def __init__(self, name: str) -> None:
        self.name = name
        self.rooms: dict[str, list[str]] = {}

    def place(self) -> Place:
        """This server and the number of its rooms."""
        return Place(server=self.name, rooms=len(self.rooms))

    async def open(self, request: Room, context: CallContext) -> Place:
        """Take a room: from now on `Say` in it comes here, and nowhere else."""
        if not request.name:
            raise ServiceError("invalid_argument", "a room needs a name")
        await self.server.register_say_topic(RoomsRoom(request.name))
        self.rooms[request.name] = []
        return self.place()

    async def open_affinity(self, request: Room, context: CallContext) -> float:
        """The emptier the better; a full server declines."""
        return 1 - len(self.rooms) / MOST

    async def say(self, request: Line, context: CallContext) -> Line:
        """Keep a line, and tell all who listen."""
        (room,) = context.topic
        self.rooms[room].append(request.text)
        line = Line(room=room, text=request.text, server=self.name)
        await self.server.publish_heard(line)
        return line

    async def load(self, request: Empty, context: CallContext) -> Place:
        """The number of rooms here."""
        return self.place()


async def main(etcd: str, name: str, region: str) -> None:
    """Serve until killed or told to stop."""
    rooms = Rooms(name)
    async with (
        grid.Server("rooms", etcd=etcd, lease=2.0) as peer,
        RoomsServer(rooms, peer, server_id=name) as rooms.server,
    ):
        await rooms.server.register_load_topic(region)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

from google.protobuf import empty_pb2 as _empty_pb2
from rpc import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Room(_message.Message):
    __slots__ = ("name", "region")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    name: str
    region: str
    def __init__(self, name: _Optional[str] = ..., region: _Optional[str] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("server", "rooms")
    SERVER_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    server: str
    rooms: int
    def __init__(self, server: _Optional[str] = ..., rooms: _Optional[int] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("room", "text", "server")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    room: str
    text: str
    server: str
    def __init__(self, room: _Optional[str] = ..., text: _Optional[str] = ..., server: _Optional[str] = ...) -> None: ...

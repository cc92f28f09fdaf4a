from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CountFile(_message.Message):
    __slots__ = ("path", "text")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    path: str
    text: bytes
    def __init__(self, path: _Optional[str] = ..., text: _Optional[bytes] = ...) -> None: ...

class Counts(_message.Message):
    __slots__ = ("lines", "tokens", "names", "worker")
    class NamesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    LINES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    lines: int
    tokens: int
    names: _containers.ScalarMap[str, int]
    worker: str
    def __init__(self, lines: _Optional[int] = ..., tokens: _Optional[int] = ..., names: _Optional[_Mapping[str, int]] = ..., worker: _Optional[str] = ...) -> None: ...

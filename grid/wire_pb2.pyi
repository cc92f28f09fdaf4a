from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Delivery(_message.Message):
    __slots__ = ("ver", "data", "typeName", "receiver", "epoch", "metadata")
    class Ver(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        V1: _ClassVar[Delivery.Ver]
    V1: Delivery.Ver
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TYPENAME_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ver: Delivery.Ver
    data: bytes
    typeName: str
    receiver: str
    epoch: int
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, ver: _Optional[_Union[Delivery.Ver, str]] = ..., data: _Optional[bytes] = ..., typeName: _Optional[str] = ..., receiver: _Optional[str] = ..., epoch: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ActorStart(_message.Message):
    __slots__ = ("type", "name", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    name: str
    data: bytes
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class ActorStop(_message.Message):
    __slots__ = ("name", "grace_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    grace_ms: int
    def __init__(self, name: _Optional[str] = ..., grace_ms: _Optional[int] = ...) -> None: ...

class ActorReportsQuery(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActorReports(_message.Message):
    __slots__ = ("actors", "running", "slots")
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    actors: _containers.RepeatedCompositeFieldContainer[ActorReport]
    running: int
    slots: int
    def __init__(self, actors: _Optional[_Iterable[_Union[ActorReport, _Mapping[str, _Any]]]] = ..., running: _Optional[int] = ..., slots: _Optional[int] = ...) -> None: ...

class PeerDrain(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActorMove(_message.Message):
    __slots__ = ("name", "peer", "grace_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    peer: str
    grace_ms: int
    def __init__(self, name: _Optional[str] = ..., peer: _Optional[str] = ..., grace_ms: _Optional[int] = ...) -> None: ...

class ActorReport(_message.Message):
    __slots__ = ("name", "type", "state", "restarts", "error", "error_ms")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RUNNING: _ClassVar[ActorReport.State]
        RESTARTING: _ClassVar[ActorReport.State]
        STOPPING: _ClassVar[ActorReport.State]
        FAILED: _ClassVar[ActorReport.State]
    RUNNING: ActorReport.State
    RESTARTING: ActorReport.State
    STOPPING: ActorReport.State
    FAILED: ActorReport.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    state: ActorReport.State
    restarts: int
    error: str
    error_ms: int
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., state: _Optional[_Union[ActorReport.State, str]] = ..., restarts: _Optional[int] = ..., error: _Optional[str] = ..., error_ms: _Optional[int] = ...) -> None: ...

class Plain(_message.Message):
    __slots__ = ("type", "json")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    type: str
    json: bytes
    def __init__(self, type: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class SavedState(_message.Message):
    __slots__ = ("type_name", "data")
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type_name: str
    data: bytes
    def __init__(self, type_name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EchoMsg(_message.Message):
    __slots__ = ("msg",)
    MSG_FIELD_NUMBER: _ClassVar[int]
    msg: str
    def __init__(self, msg: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("number", "exchange", "kind", "value", "route", "data", "notes", "routes", "hello", "ping", "pong", "goodbye", "bulk")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REQUEST: _ClassVar[Frame.Kind]
        REPLY: _ClassVar[Frame.Kind]
        ERROR: _ClassVar[Frame.Kind]
        TELL: _ClassVar[Frame.Kind]
        CANCEL: _ClassVar[Frame.Kind]
        OPEN: _ClassVar[Frame.Kind]
        ITEM: _ClassVar[Frame.Kind]
        CREDIT: _ClassVar[Frame.Kind]
        END: _ClassVar[Frame.Kind]
        CHUNK: _ClassVar[Frame.Kind]
        ACCEPT: _ClassVar[Frame.Kind]
    REQUEST: Frame.Kind
    REPLY: Frame.Kind
    ERROR: Frame.Kind
    TELL: Frame.Kind
    CANCEL: Frame.Kind
    OPEN: Frame.Kind
    ITEM: Frame.Kind
    CREDIT: Frame.Kind
    END: Frame.Kind
    CHUNK: Frame.Kind
    ACCEPT: Frame.Kind
    class EndOf(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SENDING: _ClassVar[Frame.EndOf]
        STREAM: _ClassVar[Frame.EndOf]
    SENDING: Frame.EndOf
    STREAM: Frame.EndOf
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    BULK_FIELD_NUMBER: _ClassVar[int]
    number: int
    exchange: _containers.RepeatedScalarFieldContainer[int]
    kind: _containers.RepeatedScalarFieldContainer[Frame.Kind]
    value: _containers.RepeatedScalarFieldContainer[int]
    route: _containers.RepeatedScalarFieldContainer[int]
    data: _containers.RepeatedScalarFieldContainer[bytes]
    notes: _containers.RepeatedCompositeFieldContainer[Note]
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    hello: Hello
    ping: int
    pong: int
    goodbye: Goodbye
    bulk: int
    def __init__(self, number: _Optional[int] = ..., exchange: _Optional[_Iterable[int]] = ..., kind: _Optional[_Iterable[_Union[Frame.Kind, str]]] = ..., value: _Optional[_Iterable[int]] = ..., route: _Optional[_Iterable[int]] = ..., data: _Optional[_Iterable[bytes]] = ..., notes: _Optional[_Iterable[_Union[Note, _Mapping[str, _Any]]]] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping[str, _Any]]]] = ..., hello: _Optional[_Union[Hello, _Mapping[str, _Any]]] = ..., ping: _Optional[int] = ..., pong: _Optional[int] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping[str, _Any]]] = ..., bulk: _Optional[int] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("number", "receiver", "type_name", "epoch")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    number: int
    receiver: str
    type_name: str
    epoch: int
    def __init__(self, number: _Optional[int] = ..., receiver: _Optional[str] = ..., type_name: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class Note(_message.Message):
    __slots__ = ("index", "metadata", "size", "packing", "unpacked_size", "checksum")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INDEX_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PACKING_FIELD_NUMBER: _ClassVar[int]
    UNPACKED_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    index: int
    metadata: _containers.ScalarMap[str, str]
    size: int
    packing: str
    unpacked_size: int
    checksum: int
    def __init__(self, index: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., size: _Optional[int] = ..., packing: _Optional[str] = ..., unpacked_size: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "text", "error", "origin")
    class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTOR: _ClassVar[Failure.Origin]
        GRID: _ClassVar[Failure.Origin]
    ACTOR: Failure.Origin
    GRID: Failure.Origin
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    code: int
    text: str
    error: bytes
    origin: Failure.Origin
    def __init__(self, code: _Optional[int] = ..., text: _Optional[str] = ..., error: _Optional[bytes] = ..., origin: _Optional[_Union[Failure.Origin, str]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "max_message", "max_routes", "packings", "stream_credit")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MAX_ROUTES_FIELD_NUMBER: _ClassVar[int]
    PACKINGS_FIELD_NUMBER: _ClassVar[int]
    STREAM_CREDIT_FIELD_NUMBER: _ClassVar[int]
    version: int
    max_message: int
    max_routes: int
    packings: _containers.RepeatedScalarFieldContainer[str]
    stream_credit: int
    def __init__(self, version: _Optional[int] = ..., max_message: _Optional[int] = ..., max_routes: _Optional[int] = ..., packings: _Optional[_Iterable[str]] = ..., stream_credit: _Optional[int] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

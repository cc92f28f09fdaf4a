from google.protobuf import any_pb2 as _any_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Call(_message.Message):
    __slots__ = ("method", "payload", "client", "kind", "metadata", "bid", "topic")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CALL: _ClassVar[Call.Kind]
        BID: _ClassVar[Call.Kind]
        DESCRIBE: _ClassVar[Call.Kind]
        LOST: _ClassVar[Call.Kind]
    CALL: Call.Kind
    BID: Call.Kind
    DESCRIBE: Call.Kind
    LOST: Call.Kind
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    BID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    method: str
    payload: bytes
    client: str
    kind: Call.Kind
    metadata: _containers.ScalarMap[str, str]
    bid: int
    topic: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, method: _Optional[str] = ..., payload: _Optional[bytes] = ..., client: _Optional[str] = ..., kind: _Optional[_Union[Call.Kind, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., bid: _Optional[int] = ..., topic: _Optional[_Iterable[str]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("payload", "score", "code", "text", "details", "metadata", "observed", "absent")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    score: float
    code: str
    text: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    metadata: _containers.ScalarMap[str, str]
    observed: bool
    absent: bool
    def __init__(self, payload: _Optional[bytes] = ..., score: _Optional[float] = ..., code: _Optional[str] = ..., text: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping[str, _Any]]]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., observed: bool = ..., absent: bool = ...) -> None: ...

class Interest(_message.Message):
    __slots__ = ("add", "remove", "add_queue", "remove_queue", "replay")
    ADD_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    ADD_QUEUE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_QUEUE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    add: _containers.RepeatedScalarFieldContainer[str]
    remove: _containers.RepeatedScalarFieldContainer[str]
    add_queue: _containers.RepeatedScalarFieldContainer[str]
    remove_queue: _containers.RepeatedScalarFieldContainer[str]
    replay: bool
    def __init__(self, add: _Optional[_Iterable[str]] = ..., remove: _Optional[_Iterable[str]] = ..., add_queue: _Optional[_Iterable[str]] = ..., remove_queue: _Optional[_Iterable[str]] = ..., replay: bool = ...) -> None: ...

class Attached(_message.Message):
    __slots__ = ("interests",)
    INTERESTS_FIELD_NUMBER: _ClassVar[int]
    interests: int
    def __init__(self, interests: _Optional[int] = ...) -> None: ...

class Publication(_message.Message):
    __slots__ = ("channel", "data", "queue")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    channel: str
    data: bytes
    queue: bool
    def __init__(self, channel: _Optional[str] = ..., data: _Optional[bytes] = ..., queue: bool = ...) -> None: ...

class Enroll(_message.Message):
    __slots__ = ("member", "server", "add", "remove")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    member: str
    server: str
    add: _containers.RepeatedCompositeFieldContainer[TopicMethods]
    remove: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, member: _Optional[str] = ..., server: _Optional[str] = ..., add: _Optional[_Iterable[_Union[TopicMethods, _Mapping[str, _Any]]]] = ..., remove: _Optional[_Iterable[str]] = ...) -> None: ...

class TopicMethods(_message.Message):
    __slots__ = ("topic", "methods")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, topic: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ...) -> None: ...

class TopicInterest(_message.Message):
    __slots__ = ("add", "remove")
    ADD_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    add: _containers.RepeatedScalarFieldContainer[str]
    remove: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, add: _Optional[_Iterable[str]] = ..., remove: _Optional[_Iterable[str]] = ...) -> None: ...

class TopicServers(_message.Message):
    __slots__ = ("topic", "servers")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    servers: _containers.RepeatedCompositeFieldContainer[TopicServer]
    def __init__(self, topic: _Optional[str] = ..., servers: _Optional[_Iterable[_Union[TopicServer, _Mapping[str, _Any]]]] = ...) -> None: ...

class TopicServer(_message.Message):
    __slots__ = ("member", "server", "methods")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    member: str
    server: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, member: _Optional[str] = ..., server: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ...) -> None: ...

class RichStatus(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping[str, _Any]]]] = ...) -> None: ...

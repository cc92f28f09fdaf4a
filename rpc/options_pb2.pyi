from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Routing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUEUE: _ClassVar[Routing]
    AFFINITY: _ClassVar[Routing]
    MULTI: _ClassVar[Routing]
QUEUE: Routing
AFFINITY: Routing
MULTI: Routing
METHOD_FIELD_NUMBER: _ClassVar[int]
method: _descriptor.FieldDescriptor

class MethodOptions(_message.Message):
    __slots__ = ("subscription", "topics", "topic_params", "stream", "type", "multi", "affinity_func")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_PARAMS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MULTI_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FUNC_FIELD_NUMBER: _ClassVar[int]
    subscription: bool
    topics: bool
    topic_params: TopicParams
    stream: bool
    type: Routing
    multi: bool
    affinity_func: bool
    def __init__(self, subscription: bool = ..., topics: bool = ..., topic_params: _Optional[_Union[TopicParams, _Mapping[str, _Any]]] = ..., stream: bool = ..., type: _Optional[_Union[Routing, str]] = ..., multi: bool = ..., affinity_func: bool = ...) -> None: ...

class TopicParams(_message.Message):
    __slots__ = ("group", "names", "typed", "single_server")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    TYPED_FIELD_NUMBER: _ClassVar[int]
    SINGLE_SERVER_FIELD_NUMBER: _ClassVar[int]
    group: str
    names: _containers.RepeatedScalarFieldContainer[str]
    typed: bool
    single_server: bool
    def __init__(self, group: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., typed: bool = ..., single_server: bool = ...) -> None: ...

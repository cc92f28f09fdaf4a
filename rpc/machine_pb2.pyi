from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClockMsg(_message.Message):
    __slots__ = ("epoch", "sequence", "indexes", "increments", "queue_tick", "check")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    INCREMENTS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TICK_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    indexes: _containers.RepeatedScalarFieldContainer[int]
    increments: _containers.RepeatedScalarFieldContainer[int]
    queue_tick: int
    check: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., indexes: _Optional[_Iterable[int]] = ..., increments: _Optional[_Iterable[int]] = ..., queue_tick: _Optional[int] = ..., check: _Optional[int] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("epoch", "sequence", "ticks", "queue_tick", "machine_tick", "check", "answers")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TICKS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TICK_FIELD_NUMBER: _ClassVar[int]
    MACHINE_TICK_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    ticks: _containers.RepeatedScalarFieldContainer[int]
    queue_tick: int
    machine_tick: int
    check: int
    answers: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ..., ticks: _Optional[_Iterable[int]] = ..., queue_tick: _Optional[int] = ..., machine_tick: _Optional[int] = ..., check: _Optional[int] = ..., answers: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "mirror", "names_hash", "schema_hash", "want_schema", "allowed", "skipped", "shallow", "mutations", "interval", "token")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    NAMES_HASH_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    WANT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    SHALLOW_FIELD_NUMBER: _ClassVar[int]
    MUTATIONS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    version: int
    mirror: str
    names_hash: int
    schema_hash: int
    want_schema: bool
    allowed: _containers.RepeatedScalarFieldContainer[str]
    skipped: _containers.RepeatedScalarFieldContainer[str]
    shallow: bool
    mutations: bool
    interval: int
    token: str
    def __init__(self, version: _Optional[int] = ..., mirror: _Optional[str] = ..., names_hash: _Optional[int] = ..., schema_hash: _Optional[int] = ..., want_schema: bool = ..., allowed: _Optional[_Iterable[str]] = ..., skipped: _Optional[_Iterable[str]] = ..., shallow: bool = ..., mutations: bool = ..., interval: _Optional[int] = ..., token: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "machine", "names_hash", "names", "schema_hash", "schema", "snapshot", "fault", "tags", "calls")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    NAMES_HASH_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    version: int
    machine: str
    names_hash: int
    names: _containers.RepeatedScalarFieldContainer[str]
    schema_hash: int
    schema: bytes
    snapshot: Snapshot
    fault: Fault
    tags: _containers.RepeatedScalarFieldContainer[str]
    calls: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[int] = ..., machine: _Optional[str] = ..., names_hash: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ..., schema_hash: _Optional[int] = ..., schema: _Optional[bytes] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping[str, _Any]]] = ..., fault: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ..., tags: _Optional[_Iterable[str]] = ..., calls: _Optional[_Iterable[str]] = ...) -> None: ...

class ToSource(_message.Message):
    __slots__ = ("mutation", "resync", "subscribe", "unsubscribe", "call", "value", "payload", "interval", "log", "receipt")
    MUTATION_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    mutation: Mutation
    resync: Resync
    subscribe: Subscribe
    unsubscribe: int
    call: Call
    value: Value
    payload: Payload
    interval: Interval
    log: str
    receipt: Receipt
    def __init__(self, mutation: _Optional[_Union[Mutation, _Mapping[str, _Any]]] = ..., resync: _Optional[_Union[Resync, _Mapping[str, _Any]]] = ..., subscribe: _Optional[_Union[Subscribe, _Mapping[str, _Any]]] = ..., unsubscribe: _Optional[int] = ..., call: _Optional[_Union[Call, _Mapping[str, _Any]]] = ..., value: _Optional[_Union[Value, _Mapping[str, _Any]]] = ..., payload: _Optional[_Union[Payload, _Mapping[str, _Any]]] = ..., interval: _Optional[_Union[Interval, _Mapping[str, _Any]]] = ..., log: _Optional[str] = ..., receipt: _Optional[_Union[Receipt, _Mapping[str, _Any]]] = ...) -> None: ...

class ToMirror(_message.Message):
    __slots__ = ("clock", "outcome", "snapshot", "welcome", "matched", "value", "call", "payload", "fault", "step", "farewell", "receipt", "refused")
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    clock: ClockMsg
    outcome: Outcome
    snapshot: Snapshot
    welcome: Welcome
    matched: int
    value: Value
    call: Call
    payload: Payload
    fault: Fault
    step: Step
    farewell: Fault
    receipt: Receipt
    refused: Receipt
    def __init__(self, clock: _Optional[_Union[ClockMsg, _Mapping[str, _Any]]] = ..., outcome: _Optional[_Union[Outcome, _Mapping[str, _Any]]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping[str, _Any]]] = ..., welcome: _Optional[_Union[Welcome, _Mapping[str, _Any]]] = ..., matched: _Optional[int] = ..., value: _Optional[_Union[Value, _Mapping[str, _Any]]] = ..., call: _Optional[_Union[Call, _Mapping[str, _Any]]] = ..., payload: _Optional[_Union[Payload, _Mapping[str, _Any]]] = ..., fault: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ..., step: _Optional[_Union[Step, _Mapping[str, _Any]]] = ..., farewell: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ..., receipt: _Optional[_Union[Receipt, _Mapping[str, _Any]]] = ..., refused: _Optional[_Union[Receipt, _Mapping[str, _Any]]] = ...) -> None: ...

class Mutation(_message.Message):
    __slots__ = ("id", "kind", "indexes", "args", "origin", "error", "done", "welcome", "timeout")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ADD: _ClassVar[Mutation.Kind]
        REMOVE: _ClassVar[Mutation.Kind]
        SET: _ClassVar[Mutation.Kind]
    ADD: Mutation.Kind
    REMOVE: Mutation.Kind
    SET: Mutation.Kind
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: Mutation.Kind
    indexes: _containers.RepeatedScalarFieldContainer[int]
    args: Values
    origin: Origin
    error: Fault
    done: int
    welcome: int
    timeout: int
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[Mutation.Kind, str]] = ..., indexes: _Optional[_Iterable[int]] = ..., args: _Optional[_Union[Values, _Mapping[str, _Any]]] = ..., origin: _Optional[_Union[Origin, _Mapping[str, _Any]]] = ..., error: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ..., done: _Optional[int] = ..., welcome: _Optional[int] = ..., timeout: _Optional[int] = ...) -> None: ...

class Origin(_message.Message):
    __slots__ = ("machine", "transition", "time")
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    machine: str
    transition: str
    time: int
    def __init__(self, machine: _Optional[str] = ..., transition: _Optional[str] = ..., time: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("id", "result", "queue_tick", "clock", "fault")
    class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        EXECUTED: _ClassVar[Outcome.Result]
        CANCELED: _ClassVar[Outcome.Result]
        QUEUED: _ClassVar[Outcome.Result]
        REFUSED: _ClassVar[Outcome.Result]
    EXECUTED: Outcome.Result
    CANCELED: Outcome.Result
    QUEUED: Outcome.Result
    REFUSED: Outcome.Result
    ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TICK_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    id: int
    result: Outcome.Result
    queue_tick: int
    clock: ClockMsg
    fault: Fault
    def __init__(self, id: _Optional[int] = ..., result: _Optional[_Union[Outcome.Result, str]] = ..., queue_tick: _Optional[int] = ..., clock: _Optional[_Union[ClockMsg, _Mapping[str, _Any]]] = ..., fault: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ("reason", "sequence", "number")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    reason: str
    sequence: int
    number: int
    def __init__(self, reason: _Optional[str] = ..., sequence: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("token", "index", "args", "welcome")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    token: int
    index: int
    args: Values
    welcome: int
    def __init__(self, token: _Optional[int] = ..., index: _Optional[int] = ..., args: _Optional[_Union[Values, _Mapping[str, _Any]]] = ..., welcome: _Optional[int] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("id", "name", "args", "timeout")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    args: Values
    timeout: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., args: _Optional[_Union[Values, _Mapping[str, _Any]]] = ..., timeout: _Optional[int] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("id", "value", "fault")
    ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    id: int
    value: Scalar
    fault: Fault
    def __init__(self, id: _Optional[int] = ..., value: _Optional[_Union[Scalar, _Mapping[str, _Any]]] = ..., fault: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("microseconds",)
    MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    microseconds: int
    def __init__(self, microseconds: _Optional[int] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("type", "text", "code")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    type: str
    text: str
    code: str
    def __init__(self, type: _Optional[str] = ..., text: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class Payload(_message.Message):
    __slots__ = ("id", "name", "metadata", "size", "data", "last", "error", "type_name")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    metadata: _containers.ScalarMap[str, str]
    size: int
    data: bytes
    last: bool
    error: str
    type_name: str
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., size: _Optional[int] = ..., data: _Optional[bytes] = ..., last: bool = ..., error: _Optional[str] = ..., type_name: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("id", "fault")
    ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    id: int
    fault: Fault
    def __init__(self, id: _Optional[int] = ..., fault: _Optional[_Union[Fault, _Mapping[str, _Any]]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("kind", "called", "accepted", "auto", "clock")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    AUTO_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    kind: Mutation.Kind
    called: _containers.RepeatedScalarFieldContainer[int]
    accepted: bool
    auto: bool
    clock: ClockMsg
    def __init__(self, kind: _Optional[_Union[Mutation.Kind, str]] = ..., called: _Optional[_Iterable[int]] = ..., accepted: bool = ..., auto: bool = ..., clock: _Optional[_Union[ClockMsg, _Mapping[str, _Any]]] = ...) -> None: ...

class Scalar(_message.Message):
    __slots__ = ("nothing", "flag", "integer", "real", "text", "data", "list", "values", "message", "large")
    NOTHING_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LARGE_FIELD_NUMBER: _ClassVar[int]
    nothing: bool
    flag: bool
    integer: int
    real: float
    text: str
    data: bytes
    list: List
    values: Values
    message: Packed
    large: str
    def __init__(self, nothing: bool = ..., flag: bool = ..., integer: _Optional[int] = ..., real: _Optional[float] = ..., text: _Optional[str] = ..., data: _Optional[bytes] = ..., list: _Optional[_Union[List, _Mapping[str, _Any]]] = ..., values: _Optional[_Union[Values, _Mapping[str, _Any]]] = ..., message: _Optional[_Union[Packed, _Mapping[str, _Any]]] = ..., large: _Optional[str] = ...) -> None: ...

class List(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Scalar]
    def __init__(self, items: _Optional[_Iterable[_Union[Scalar, _Mapping[str, _Any]]]] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Scalar
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Scalar, _Mapping[str, _Any]]] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.MessageMap[str, Scalar]
    def __init__(self, fields: _Optional[_Mapping[str, Scalar]] = ...) -> None: ...

class Packed(_message.Message):
    __slots__ = ("type_name", "data")
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type_name: str
    data: bytes
    def __init__(self, type_name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

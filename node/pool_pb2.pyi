from rpc import machine_pb2 as _machine_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientHello(_message.Message):
    __slots__ = ("version", "client", "kind", "claims")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    version: int
    client: str
    kind: str
    claims: _containers.RepeatedCompositeFieldContainer[Claim]
    def __init__(self, version: _Optional[int] = ..., client: _Optional[str] = ..., kind: _Optional[str] = ..., claims: _Optional[_Iterable[_Union[Claim, _Mapping[str, _Any]]]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("id", "want", "elastic", "held", "patient")
    ID_FIELD_NUMBER: _ClassVar[int]
    WANT_FIELD_NUMBER: _ClassVar[int]
    ELASTIC_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    PATIENT_FIELD_NUMBER: _ClassVar[int]
    id: int
    want: int
    elastic: bool
    held: _containers.RepeatedScalarFieldContainer[str]
    patient: bool
    def __init__(self, id: _Optional[int] = ..., want: _Optional[int] = ..., elastic: bool = ..., held: _Optional[_Iterable[str]] = ..., patient: bool = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("claim", "worker")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    claim: int
    worker: str
    def __init__(self, claim: _Optional[int] = ..., worker: _Optional[str] = ...) -> None: ...

class FromClient(_message.Message):
    __slots__ = ("claim", "release")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    claim: Claim
    release: Release
    def __init__(self, claim: _Optional[_Union[Claim, _Mapping[str, _Any]]] = ..., release: _Optional[_Union[Release, _Mapping[str, _Any]]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("claim", "worker", "peer")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    claim: int
    worker: str
    peer: str
    def __init__(self, claim: _Optional[int] = ..., worker: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("claim", "worker", "reason")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    claim: int
    worker: str
    reason: str
    def __init__(self, claim: _Optional[int] = ..., worker: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Recall(_message.Message):
    __slots__ = ("claim", "worker")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    claim: int
    worker: str
    def __init__(self, claim: _Optional[int] = ..., worker: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("claim", "code", "text")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    claim: int
    code: str
    text: str
    def __init__(self, claim: _Optional[int] = ..., code: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ToClient(_message.Message):
    __slots__ = ("grant", "loss", "recall", "refusal")
    GRANT_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    grant: Grant
    loss: Loss
    recall: Recall
    refusal: Refusal
    def __init__(self, grant: _Optional[_Union[Grant, _Mapping[str, _Any]]] = ..., loss: _Optional[_Union[Loss, _Mapping[str, _Any]]] = ..., recall: _Optional[_Union[Recall, _Mapping[str, _Any]]] = ..., refusal: _Optional[_Union[Refusal, _Mapping[str, _Any]]] = ...) -> None: ...

class AgentHello(_message.Message):
    __slots__ = ("version", "kind", "peer", "settings", "workers", "trouble", "capacity", "order", "drained")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    version: int
    kind: str
    peer: str
    settings: Settings
    workers: _containers.RepeatedCompositeFieldContainer[WorkerReport]
    trouble: str
    capacity: Capacity
    order: Order
    drained: bool
    def __init__(self, version: _Optional[int] = ..., kind: _Optional[str] = ..., peer: _Optional[str] = ..., settings: _Optional[_Union[Settings, _Mapping[str, _Any]]] = ..., workers: _Optional[_Iterable[_Union[WorkerReport, _Mapping[str, _Any]]]] = ..., trouble: _Optional[str] = ..., capacity: _Optional[_Union[Capacity, _Mapping[str, _Any]]] = ..., order: _Optional[_Union[Order, _Mapping[str, _Any]]] = ..., drained: bool = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("version", "fixed", "size")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    version: int
    fixed: bool
    size: int
    def __init__(self, version: _Optional[int] = ..., fixed: bool = ..., size: _Optional[int] = ...) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("cpus", "free_cpus", "memory", "free_memory", "workers")
    CPUS_FIELD_NUMBER: _ClassVar[int]
    FREE_CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    FREE_MEMORY_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    cpus: float
    free_cpus: float
    memory: int
    free_memory: int
    workers: int
    def __init__(self, cpus: _Optional[float] = ..., free_cpus: _Optional[float] = ..., memory: _Optional[int] = ..., free_memory: _Optional[int] = ..., workers: _Optional[int] = ...) -> None: ...

class Settings(_message.Message):
    __slots__ = ("min", "max", "warm", "per_client", "per_peer", "rest", "cpus", "room", "annotations", "spread")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    PER_CLIENT_FIELD_NUMBER: _ClassVar[int]
    PER_PEER_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    min: int
    max: int
    warm: int
    per_client: int
    per_peer: int
    rest: float
    cpus: float
    room: int
    annotations: _containers.RepeatedScalarFieldContainer[str]
    spread: str
    def __init__(self, min: _Optional[int] = ..., max: _Optional[int] = ..., warm: _Optional[int] = ..., per_client: _Optional[int] = ..., per_peer: _Optional[int] = ..., rest: _Optional[float] = ..., cpus: _Optional[float] = ..., room: _Optional[int] = ..., annotations: _Optional[_Iterable[str]] = ..., spread: _Optional[str] = ...) -> None: ...

class WorkerReport(_message.Message):
    __slots__ = ("name", "state", "client", "reason", "pid", "memory", "age", "jobs", "errors")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STARTING: _ClassVar[WorkerReport.State]
        IDLE: _ClassVar[WorkerReport.State]
        SERVING: _ClassVar[WorkerReport.State]
        GONE: _ClassVar[WorkerReport.State]
    STARTING: WorkerReport.State
    IDLE: WorkerReport.State
    SERVING: WorkerReport.State
    GONE: WorkerReport.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: WorkerReport.State
    client: str
    reason: str
    pid: int
    memory: int
    age: float
    jobs: int
    errors: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[WorkerReport.State, str]] = ..., client: _Optional[str] = ..., reason: _Optional[str] = ..., pid: _Optional[int] = ..., memory: _Optional[int] = ..., age: _Optional[float] = ..., jobs: _Optional[int] = ..., errors: _Optional[int] = ...) -> None: ...

class FromAgent(_message.Message):
    __slots__ = ("worker", "trouble", "draining", "capacity", "drained")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    worker: WorkerReport
    trouble: str
    draining: bool
    capacity: Capacity
    drained: bool
    def __init__(self, worker: _Optional[_Union[WorkerReport, _Mapping[str, _Any]]] = ..., trouble: _Optional[str] = ..., draining: bool = ..., capacity: _Optional[_Union[Capacity, _Mapping[str, _Any]]] = ..., drained: bool = ...) -> None: ...

class ToAgent(_message.Message):
    __slots__ = ("count", "retire", "kill", "order", "drained")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    RETIRE_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    count: int
    retire: str
    kill: str
    order: Order
    drained: bool
    def __init__(self, count: _Optional[int] = ..., retire: _Optional[str] = ..., kill: _Optional[str] = ..., order: _Optional[_Union[Order, _Mapping[str, _Any]]] = ..., drained: bool = ...) -> None: ...

class Serve(_message.Message):
    __slots__ = ("version", "client")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    version: int
    client: str
    def __init__(self, version: _Optional[int] = ..., client: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "attempt", "input")
    ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    id: int
    attempt: int
    input: _machine_pb2.Scalar
    def __init__(self, id: _Optional[int] = ..., attempt: _Optional[int] = ..., input: _Optional[_Union[_machine_pb2.Scalar, _Mapping[str, _Any]]] = ...) -> None: ...

class ToWorker(_message.Message):
    __slots__ = ("jobs", "cancelled", "wanted_back")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    WANTED_BACK_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    cancelled: _containers.RepeatedScalarFieldContainer[int]
    wanted_back: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping[str, _Any]]]] = ..., cancelled: _Optional[_Iterable[int]] = ..., wanted_back: _Optional[_Iterable[int]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("type", "text", "traceback")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    type: str
    text: str
    traceback: str
    def __init__(self, type: _Optional[str] = ..., text: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("id", "value", "failure", "seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: int
    value: _machine_pb2.Scalar
    failure: Failure
    seconds: float
    def __init__(self, id: _Optional[int] = ..., value: _Optional[_Union[_machine_pb2.Scalar, _Mapping[str, _Any]]] = ..., failure: _Optional[_Union[Failure, _Mapping[str, _Any]]] = ..., seconds: _Optional[float] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("id", "fraction", "text")
    ID_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: int
    fraction: float
    text: str
    def __init__(self, id: _Optional[int] = ..., fraction: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class FromWorker(_message.Message):
    __slots__ = ("done", "progress", "returned", "concurrency")
    DONE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    done: _containers.RepeatedCompositeFieldContainer[Done]
    progress: _containers.RepeatedCompositeFieldContainer[Progress]
    returned: _containers.RepeatedScalarFieldContainer[int]
    concurrency: int
    def __init__(self, done: _Optional[_Iterable[_Union[Done, _Mapping[str, _Any]]]] = ..., progress: _Optional[_Iterable[_Union[Progress, _Mapping[str, _Any]]]] = ..., returned: _Optional[_Iterable[int]] = ..., concurrency: _Optional[int] = ...) -> None: ...

class PoolsQuery(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: str
    def __init__(self, kind: _Optional[str] = ...) -> None: ...

class PoolsStatus(_message.Message):
    __slots__ = ("pools",)
    POOLS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[PoolStatus]
    def __init__(self, pools: _Optional[_Iterable[_Union[PoolStatus, _Mapping[str, _Any]]]] = ...) -> None: ...

class PoolStatus(_message.Message):
    __slots__ = ("kind", "settings", "size", "ready", "serving", "clients", "waiting", "trouble", "agents", "fixed")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    FIXED_FIELD_NUMBER: _ClassVar[int]
    kind: str
    settings: Settings
    size: int
    ready: int
    serving: int
    clients: int
    waiting: int
    trouble: str
    agents: _containers.RepeatedCompositeFieldContainer[AgentStatus]
    fixed: bool
    def __init__(self, kind: _Optional[str] = ..., settings: _Optional[_Union[Settings, _Mapping[str, _Any]]] = ..., size: _Optional[int] = ..., ready: _Optional[int] = ..., serving: _Optional[int] = ..., clients: _Optional[int] = ..., waiting: _Optional[int] = ..., trouble: _Optional[str] = ..., agents: _Optional[_Iterable[_Union[AgentStatus, _Mapping[str, _Any]]]] = ..., fixed: bool = ...) -> None: ...

class AgentStatus(_message.Message):
    __slots__ = ("peer", "count", "trouble", "draining", "workers", "capacity", "refusal", "drained", "pending")
    PEER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    peer: str
    count: int
    trouble: str
    draining: bool
    workers: _containers.RepeatedCompositeFieldContainer[WorkerReport]
    capacity: Capacity
    refusal: str
    drained: bool
    pending: bool
    def __init__(self, peer: _Optional[str] = ..., count: _Optional[int] = ..., trouble: _Optional[str] = ..., draining: bool = ..., workers: _Optional[_Iterable[_Union[WorkerReport, _Mapping[str, _Any]]]] = ..., capacity: _Optional[_Union[Capacity, _Mapping[str, _Any]]] = ..., refusal: _Optional[str] = ..., drained: bool = ..., pending: bool = ...) -> None: ...

class KillWorker(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    def __init__(self, worker: _Optional[str] = ...) -> None: ...

class ScalePool(_message.Message):
    __slots__ = ("kind", "size")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    size: int
    def __init__(self, kind: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class DrainPeer(_message.Message):
    __slots__ = ("peer", "undo")
    PEER_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    peer: str
    undo: bool
    def __init__(self, peer: _Optional[str] = ..., undo: bool = ...) -> None: ...

class WorkerLogQuery(_message.Message):
    __slots__ = ("worker", "after", "tail")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    worker: str
    after: int
    tail: int
    def __init__(self, worker: _Optional[str] = ..., after: _Optional[int] = ..., tail: _Optional[int] = ...) -> None: ...

class WorkerLog(_message.Message):
    __slots__ = ("lines", "position", "more", "ended")
    LINES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedScalarFieldContainer[str]
    position: int
    more: bool
    ended: bool
    def __init__(self, lines: _Optional[_Iterable[str]] = ..., position: _Optional[int] = ..., more: bool = ..., ended: bool = ...) -> None: ...

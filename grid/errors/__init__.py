"""Every error a user of the grid can meet, named by its cause.

    GridError
    ├── InvalidName                 a name breaks the rule (caller)
    │   ├── InvalidNamespace
    │   └── InvalidActorType
    ├── InvalidArgument             an argument is out of its range (caller)
    ├── InvalidAddress              an address cannot be listened on or dialled (caller)
    │   └── UnspecifiedAddress      0.0.0.0 or [::] without an address to advertise
    ├── UnsupportedMessage          not a protobuf message (caller)
    ├── MessageTooLarge             over the size limit; refused before the wire (caller)
    │   └── StateTooLarge           the state is larger than its store takes (actor)
    ├── UnexpectedReply             the reply is not of the type asked for (caller or receiver)
    ├── ClientClosed                the client was closed (caller)
    ├── WrongEventLoop              the client belongs to another event loop (caller)
    ├── ForkedProcess               clients cannot work in a forked child (caller)
    ├── CannotRunHere               a server cannot be run in this thread (caller)
    ├── ServerNotRunning            the server is not started, or stopped (caller)
    ├── AlreadyResponded            second answer to one request (receiver)
    ├── LeaseTooShort               a lease below the minimum (caller)
    ├── AddressInUse                the port is taken
    ├── AddressLocked               another process still holds the address in etcd
    ├── AlreadyRegistered           the name has an owner
    ├── LeaseLost                   this peer's lease ended; its names are no longer its own
    ├── NotDelivered                no actor saw the request: a resend is safe
    │   ├── UnknownMailbox          the peer does not have the mailbox
    │   │   └── UnregisteredMailbox the name is not in the registry
    │   ├── ReceiverBusy            the mailbox is full
    │   ├── MailboxClosed           the mailbox closed while the request was queued
    │   │   └── OnStartFailed       the actor that it started failed in on_start (no resend)
    │   ├── StaleEpoch              the name was registered again since it was resolved
    │   ├── PeerBusy                the peer has no memory left for a large message now
    │   ├── PeerNotServing          the peer is starting, draining, or without a lease
    │   ├── PeerUnreachable         no connection to the peer
    │   ├── PeerFull                the peer has no free slot for another actor (no resend)
    │   ├── NotPlaced               no peer that was asked took the actor
    │   ├── SecurityError           both sides do not agree on security (no resend)
    │   │   ├── TlsRequired         the peer speaks TLS only, the client does not (caller)
    │   │   ├── TlsNotOffered       the client speaks TLS only, the peer does not
    │   │   ├── PeerNotTrusted      the certificate of the peer is not accepted
    │   │   ├── ClientNotTrusted    the peer does not accept the client's certificate (caller)
    │   │   └── TokenRefused        the peer asks for another token (caller)
    │   ├── Filtered                a filter of the sender or the receiver skipped it (no resend)
    │   └── BreakerOpen             the peer failed too often; it is left alone for a while
    ├── OutcomeUnknown              sent; it may or may not have been acted upon
    │   └── RequestDropped          the receiver had it and ended without an answer
    ├── StreamClosed                the stream is over
    │   └── ActorEnded              because its actor has ended, which may start elsewhere
    ├── StreamsUnsupported          the peer has no streams (caller)
    ├── DeadlineExceeded            no answer in time (also a TimeoutError)
    ├── RequestFailed               the receiver answered with an error of its own
    │   ├── UnknownMessageType      the receiver does not know the message's type
    │   └── UndecodableMessage      the payload is not an encoding of its type
    ├── ActorStartFailed            the actor did not start
    │   ├── UnknownActorType        no definition of that type on the peer
    │   ├── FactoryFailed           the definition's factory raised
    │   └── NilActor                the factory returned no actor
    ├── UnknownActor                no actor of that name runs
    ├── ActorStillRunning           the actor did not end within its grace and a cancellation
    ├── StateFenced                 a newer owner of the name has the actor's state
    ├── StoreUnavailable            the store of states cannot be reached now
    ├── UnexpectedState             the saved state is of another class
    ├── IncompleteBroadcast         some members failed; carries the answers of all members
    └── EtcdError
        ├── EtcdUnavailable         no endpoint answers
        ├── EtcdAuthFailed          user or password refused
        ├── EtcdPermissionDenied    the user may not touch the key
        ├── EtcdOutOfSpace          the quota of etcd is used up
        ├── EtcdRequestTooLarge     more bytes than etcd takes in one request
        ├── EtcdCompacted           the revision asked for is gone
        └── EmbeddedEtcdFailed      the embedded etcd did not start

`retryable` says whether sending the same again is safe: True means that no
actor saw the request. To try again or elsewhere, catch `Retryable`: `NotDelivered`,
`EtcdUnavailable`, `EtcdOutOfSpace`, `StoreUnavailable` and the retryable errors of `rpc` and
`node` derive from it. Every argument of an error is an attribute of it.
"""

from grid.errors._actors import (
    ActorStartFailed,
    ActorStillRunning,
    FactoryFailed,
    IncompleteBroadcast,
    NilActor,
    UnknownActor,
    UnknownActorType,
)
from grid.errors._base import GridError, Retryable
from grid.errors._delivery import (
    ActorEnded,
    BreakerOpen,
    DeadlineExceeded,
    Filtered,
    MailboxClosed,
    NotDelivered,
    NotPlaced,
    OnStartFailed,
    OutcomeUnknown,
    PeerBusy,
    PeerFull,
    PeerNotServing,
    PeerUnreachable,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    StaleEpoch,
    StreamClosed,
    StreamsUnsupported,
    UndecodableMessage,
    UnknownMailbox,
    UnknownMessageType,
    UnregisteredMailbox,
)
from grid.errors._etcd import (
    EmbeddedEtcdFailed,
    EtcdAuthFailed,
    EtcdCompacted,
    EtcdError,
    EtcdOutOfSpace,
    EtcdPermissionDenied,
    EtcdRequestTooLarge,
    EtcdUnavailable,
)
from grid.errors._input import (
    AlreadyResponded,
    CannotRunHere,
    ClientClosed,
    ForkedProcess,
    InvalidActorType,
    InvalidAddress,
    InvalidArgument,
    InvalidName,
    InvalidNamespace,
    MessageTooLarge,
    ServerNotRunning,
    UnexpectedReply,
    UnspecifiedAddress,
    UnsupportedMessage,
    WrongEventLoop,
)
from grid.errors._registry import (
    AddressInUse,
    AddressLocked,
    AlreadyRegistered,
    LeaseLost,
    LeaseTooShort,
)
from grid.errors._security import (
    ClientNotTrusted,
    PeerNotTrusted,
    SecurityError,
    TlsNotOffered,
    TlsRequired,
    TokenRefused,
)
from grid.errors._state import StateFenced, StateTooLarge, StoreUnavailable, UnexpectedState

__all__ = [
    "ActorEnded",
    "ActorStartFailed",
    "ActorStillRunning",
    "AddressInUse",
    "AddressLocked",
    "AlreadyRegistered",
    "AlreadyResponded",
    "BreakerOpen",
    "CannotRunHere",
    "ClientClosed",
    "ClientNotTrusted",
    "DeadlineExceeded",
    "EmbeddedEtcdFailed",
    "EtcdAuthFailed",
    "EtcdCompacted",
    "EtcdError",
    "EtcdOutOfSpace",
    "EtcdPermissionDenied",
    "EtcdRequestTooLarge",
    "EtcdUnavailable",
    "FactoryFailed",
    "Filtered",
    "ForkedProcess",
    "GridError",
    "IncompleteBroadcast",
    "InvalidActorType",
    "InvalidAddress",
    "InvalidArgument",
    "InvalidName",
    "InvalidNamespace",
    "LeaseLost",
    "LeaseTooShort",
    "MailboxClosed",
    "MessageTooLarge",
    "NilActor",
    "NotDelivered",
    "NotPlaced",
    "OnStartFailed",
    "OutcomeUnknown",
    "PeerBusy",
    "PeerFull",
    "PeerNotServing",
    "PeerNotTrusted",
    "PeerUnreachable",
    "ReceiverBusy",
    "RequestDropped",
    "RequestFailed",
    "Retryable",
    "SecurityError",
    "ServerNotRunning",
    "StaleEpoch",
    "StateFenced",
    "StateTooLarge",
    "StoreUnavailable",
    "StreamClosed",
    "StreamsUnsupported",
    "TlsNotOffered",
    "TlsRequired",
    "TokenRefused",
    "UndecodableMessage",
    "UnexpectedReply",
    "UnexpectedState",
    "UnknownActor",
    "UnknownActorType",
    "UnknownMailbox",
    "UnknownMessageType",
    "UnregisteredMailbox",
    "UnspecifiedAddress",
    "UnsupportedMessage",
    "WrongEventLoop",
]

"""Claims of a client: the stream to the supervisor, made again whenever it breaks."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from dataclasses import dataclass, field
from typing import Protocol

from grid.client.client import Client as GridClient
from grid.errors import ClientClosed, EtcdError, GridError, UnregisteredMailbox
from grid.registry.names import Kind
from machine.core.machine import Machine
from node.client.losses import Losses
from node.client.states import ClientStates
from node.errors import ClientLimit, NoPlace, PoolError, PoolFailed, UnknownKind, WorkerLost
from node.events import tell_error
from node.names import SUPERVISOR, VERSION, agent_type
from node.pool_pb2 import Claim as ClaimMessage
from node.pool_pb2 import ClientHello, FromClient, Refusal, Release, ToClient
from node.streams import PostingStream

__all__ = ["Claim", "Claimant", "Claims"]

_log = logging.getLogger("node.client")

_PAUSES = (0.05, 1.0)  # seconds between attempts to reach a supervisor: the first, the longest
_PATIENCE = 30.0  # seconds that a claim which had workers waits for peers to come back
_ETCD_PATIENCE = 8.0  # seconds that a run which never had any waits for etcd


class Claimant(Protocol):
    """Calls of a claim to its owner."""

    def granted(self, worker: str, peer: str) -> None:
        """It has a worker."""

    def lost(self, worker: str, reason: str) -> None:
        """A worker has ended."""

    def recalled(self, worker: str) -> None:
        """A worker is wanted elsewhere: finish with it, and release it."""

    def refused(self, error: GridError) -> None:
        """It is over."""


@dataclass(slots=True, eq=False)
class Claim:
    """A wish for workers.

    Attributes:
        number: of the claim.
        want: number of workers.
        elastic: True if fewer will do.
        claimant: hears what becomes of it.
        patient: True if it waits while the client has as many workers as it may have.
        held: names of its workers.
        served: True once it had one.
    """

    number: int
    want: int
    elastic: bool
    claimant: Claimant
    patient: bool = False
    held: set[str] = field(default_factory=set)
    served: bool = False

    def message(self) -> ClaimMessage:
        """The claim as the supervisor is told of it."""
        return ClaimMessage(
            id=self.number,
            want=self.want,
            elastic=self.elastic,
            held=sorted(self.held),
            patient=self.patient,
        )


class Claims:
    """The claims of one client, and its connection with the supervisor.

    Args:
        client: of the grid.
        kind: of the workers.
        name: of this client, unique.
        mach: its own life, which follows.

    Attributes:
        trouble: why there is no connection; "" while there is one.
    """

    def __init__(
        self, client: GridClient, kind: str, name: str, mach: Machine[ClientStates]
    ) -> None:
        self.trouble = "it was not asked yet"
        self._client = client
        self._kind = kind
        self._name = name
        self._mach = mach
        self._waiting: set[int] = set()  # numbers of claims without a worker
        self._served: set[int] = set()  # and of those with one
        self._numbers = itertools.count(1)
        self._claims: dict[int, Claim] = {}
        self._posting: PostingStream | None = None
        self._following: asyncio.Task[None] | None = None
        self._away_since = 0.0
        self._losses = Losses()
        self._closed = False

    def open(self, want: int, elastic: bool, claimant: Claimant, *, patient: bool = False) -> Claim:
        """Ask for workers. Raises `ClientClosed`."""
        if self._closed:
            raise ClientClosed
        claim = Claim(next(self._numbers), want, elastic, claimant, patient)
        self._claims[claim.number] = claim
        self._show(claim)
        self._post(FromClient(claim=claim.message()))
        if self._following is None or self._following.done():
            following = self._follow()
            self._following = asyncio.create_task(following, name=f"pool {self._kind}")
        return claim

    def release(self, claim: Claim, worker: str = "") -> None:
        """Let go of a worker; "": of all, and end the claim."""
        if worker:
            claim.held.discard(worker)
        elif self._claims.pop(claim.number, None) is None:
            return
        self._show(claim)
        self._post(FromClient(release=Release(claim=claim.number, worker=worker)))

    async def lost(self, worker: str, text: str) -> WorkerLost:
        """Note that a worker has ended while it was this client's; its error, with the reason.

        Args:
            worker: its name.
            text: as its link ended, for the case that the supervisor tells no reason in time.
        """
        reason = "" if self._posting is None else await self._losses.reason(worker)
        return self._lost(worker, reason or text)

    def _lost(self, worker: str, reason: str) -> WorkerLost:
        error = WorkerLost(worker, reason)
        if self._losses.is_first(worker):
            tell_error(self._mach, "ErrWorker", error)
        return error

    async def close(self) -> None:
        """End all claims; their owners hear of it."""
        self._closed = True
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait([following])
        self._refuse(list(self._claims.values()), ClientClosed())

    def _show(self, claim: Claim) -> None:
        """Bring the states of the client in line with a claim that has changed."""
        is_open = claim.number in self._claims
        for name, claims, is_so in (
            ("WorkerRequested", self._waiting, is_open and not claim.held),
            ("WorkerReady", self._served, is_open and bool(claim.held)),
        ):
            before = bool(claims)
            (claims.add if is_so else claims.discard)(claim.number)
            if bool(claims) != before:
                (self._mach.add if claims else self._mach.remove)(name)

    def _post(self, message: FromClient) -> None:
        if self._posting is not None:
            self._posting.post(message)

    async def _follow(self) -> None:
        first, longest = _PAUSES
        pause = first
        loop = asyncio.get_running_loop()
        self._away_since = loop.time()
        while True:
            hello = ClientHello(
                version=VERSION,
                client=self._name,
                kind=self._kind,
                claims=[one.message() for one in self._claims.values()],
            )
            told = {one.id: set(one.held) for one in hello.claims}
            self._mach.add("SuperConnecting")
            try:
                async with self._client.stream(SUPERVISOR, hello) as stream:
                    pause = first
                    async with PostingStream(stream) as posting:
                        await self._hear(posting, told)
                self.trouble = "the supervisor has ended"
                tell_error(self._mach, "ErrSupervisor", ConnectionError(self.trouble))
            except ClientClosed as error:  # the client of the grid
                self._refuse(list(self._claims.values()), error)
                return
            except GridError as error:
                self.trouble = str(error)
                tell_error(self._mach, "ErrSupervisor", error)
                if isinstance(error, UnregisteredMailbox):
                    await self._look_for_peers()
                elif isinstance(error, EtcdError):
                    self._give_up(error)
            finally:
                self._mach.remove("SuperConnecting", "SuperConnected")
                if self._posting is not None:
                    self._posting = None
                    self._away_since = loop.time()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, longest)

    async def _hear(self, posting: PostingStream, told: dict[int, set[str]]) -> None:
        # What has changed since the hello was written.
        for claim in self._claims.values():
            if claim.number not in told:
                posting.post(FromClient(claim=claim.message()))
            for worker in sorted(told.get(claim.number, set()) - claim.held):
                posting.post(FromClient(release=Release(claim=claim.number, worker=worker)))
        for number in told.keys() - self._claims.keys():
            posting.post(FromClient(release=Release(claim=number)))
        self._posting, self.trouble = posting, ""
        self._mach.add("SuperConnected")
        async for message in posting.stream:
            if isinstance(message, ToClient):
                self._heard(message)

    def _heard(self, message: ToClient) -> None:
        kind = message.WhichOneof("kind") or ""
        what = getattr(message, kind, None)
        claim = self._claims.get(what.claim) if what is not None else None
        if kind == "loss":  # also of a worker that was released because its link has ended
            self._losses.told(message.loss.worker, message.loss.reason)
        if claim is None:
            if kind == "grant":  # it was released meanwhile, and ends there as well
                grant = message.grant
                self._post(FromClient(release=Release(claim=grant.claim, worker=grant.worker)))
            return
        match kind:
            case "grant":
                claim.held.add(message.grant.worker)
                claim.served = True
                self._show(claim)
                claim.claimant.granted(message.grant.worker, message.grant.peer)
            case "loss":
                if message.loss.worker in claim.held:  # else its link told of it
                    claim.held.discard(message.loss.worker)
                    self._show(claim)
                    self._lost(message.loss.worker, message.loss.reason)
                claim.claimant.lost(message.loss.worker, message.loss.reason)
            case "recall":
                claim.claimant.recalled(message.recall.worker)
            case "refusal":
                self._refuse([claim], self._error(message.refusal))

    def _error(self, refusal: Refusal) -> PoolError:
        match refusal.code:
            case "unknown-kind":
                return UnknownKind(self._kind, self._client.namespace)
            case "client-limit":
                return ClientLimit(self._kind, int(refusal.text or 0))
            case "no-place":
                return NoPlace(self._kind, refusal.text)
            case _:
                return PoolFailed(self._kind, refusal.text)

    async def _look_for_peers(self) -> None:
        """Refuse claims at once if there is no supervisor because no peer offers the kind."""
        try:
            peers = await self._client.query(Kind.PEER)
        except GridError as error:
            self.trouble = str(error)
            return
        if any(agent_type(self._kind) in peer.types for peer in peers):
            self.trouble = "a peer offers them, but none supervises the pools yet"
            return
        unknown = UnknownKind(self._kind, self._client.namespace)
        long_ago = self._away > _PATIENCE
        self._refuse([one for one in self._claims.values() if long_ago or not one.served], unknown)

    def _give_up(self, error: EtcdError) -> None:
        """Refuse runs that never had a worker if etcd is away: they have no timeout."""
        if self._away > _ETCD_PATIENCE:
            claims = self._claims.values()
            self._refuse([one for one in claims if one.elastic and not one.served], error)

    @property
    def _away(self) -> float:
        """Seconds without a supervisor."""
        return asyncio.get_running_loop().time() - self._away_since

    def _refuse(self, claims: list[Claim], error: GridError) -> None:
        for claim in claims:
            del self._claims[claim.number]
            self._show(claim)
            claim.claimant.refused(error)

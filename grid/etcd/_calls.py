"""Calls to a cluster: failover between endpoints, login, retries within a deadline.

Theory of operation. All calls go to one endpoint until it fails; then all go
to the next. A failure is one of four kinds (`_failures.Kind`): a lost or silent
endpoint is left and the call sent again; an unknown login is renewed, once for
all calls that wait for it, and the call sent again; a refusal is the caller's. A call
ends with its deadline. A round over all endpoints is followed by a pause that
grows.

An attempt's time is limited so that an endpoint that swallows everything leaves
time for the others. After such an attempt the channel is retired as well: the
connection may be dead in the middle, and then a new one to the same endpoint
works. So is a channel whose connection broke, because etcd may come back under
another address of the same name.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from grid.aio import check_loop
from grid.deadline import Deadline, now
from grid.errors import ClientClosed, EtcdUnavailable, GridError
from grid.etcd import api_pb2
from grid.etcd._channel import EtcdChannel, EtcdStream, Metadata, credentials
from grid.etcd._config import EtcdConfig
from grid.etcd._failures import CallFailed, Kind, cause, translate
from grid.etcd._rotation import Rotation, attempt_time, pause

__all__ = ["EtcdCalls"]

_REQUIRE_LEADER = ("hasleader", "true")
# A member that lags behind does not know a token that another has just issued.
_LOGINS_PER_CALL = 3
_SUSPECT_AFTER = 1.0


class EtcdCalls:
    """A cluster to call."""

    def __init__(self, config: EtcdConfig) -> None:
        self.config = config
        self.rotation: Rotation = Rotation(config.endpoints)
        self._channels: dict[str, EtcdChannel] = {}
        self._retired: set[EtcdChannel] = set()
        self._tls: Any = None
        self._tls_read = False
        self._token: str | None = None if config.user is not None else ""
        self._login_lock = asyncio.Lock()
        self._failure: CallFailed | None = None  # the last one, until a call succeeds
        self.closed: bool = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def check_loop(self, *, closing: bool = False) -> None:
        """Raise `WrongEventLoop` unless this runs on the loop of the first call.

        Args:
            closing: allow it also where that loop is closed.
        """
        if not closing or (self._loop is not None and not self._loop.is_closed()):
            check_loop(self._loop, "client of etcd")

    # -- calls ----------------------------------------------------------------

    async def call(self, method: str, request: Any, timeout: float | None = None) -> Any:
        """The response of `method`, from whichever endpoint gives one in time."""
        _, response = await self.timed_call(method, request, timeout)
        return response

    async def timed_call(
        self, method: str, request: Any, timeout: float | None = None
    ) -> tuple[float, Any]:
        """The time at which the successful attempt was sent, and its response."""
        total = self.config.timeout if timeout is None else timeout
        deadline = Deadline.after(total)
        failures = logins = 0
        last: CallFailed | None = None
        while True:
            channel = self.channel()
            limit = attempt_time(deadline.remaining(), total, len(self.rotation))
            metadata: Metadata | None = None
            try:
                metadata = await self._metadata(channel, limit)
                sent = now()
                response = await channel.unary(method, request, limit, metadata)
            except CallFailed as failure:
                if failure.kind is Kind.TOKEN and self.config.user and logins < _LOGINS_PER_CALL:
                    logins += 1
                    self.forget_login(metadata)
                    continue
                failures += 1
                await self.give_up_on(channel, failure, limit)
                last = self._failure = cause(last, failure, limit)
                await self._pause(failures, deadline, total, last)
            else:
                self._failure = None
                return sent, response

    async def status(self, endpoint: str, timeout: float | None = None) -> Any:
        """The status of one endpoint; no other is tried."""
        limit = self.config.timeout if timeout is None else timeout
        channel = self.channel(endpoint)
        try:
            metadata = await self._metadata(channel, limit)
            request = api_pb2.StatusRequest()
            return await channel.unary("Maintenance/Status", request, limit, metadata)
        except CallFailed as failure:
            if self.closed:
                raise ClientClosed from None
            if failure.kind in (Kind.LOST, Kind.TIMED_OUT):
                raise EtcdUnavailable(f"no answer from {endpoint}: {failure.text}") from None
            raise translate(failure) from None

    async def _pause(
        self, failures: int, deadline: Deadline, total: float, failure: CallFailed
    ) -> None:
        seconds = pause(failures, len(self.rotation), random.random())
        if deadline.remaining() <= seconds:
            raise self.unavailable(total, failure) from None
        await asyncio.sleep(seconds)

    def unavailable(self, seconds: float, failure: CallFailed | None) -> GridError:
        """The error for a cluster that did not answer for `seconds`."""
        where = ", ".join(self.config.endpoints)
        cause = f": {failure.text}" if failure is not None else ""
        return EtcdUnavailable(f"no answer from {where} within {round(seconds, 2):g} s{cause}")

    def unanswered(self, what: str, seconds: float) -> EtcdUnavailable:
        """The error for `what`, which was given up after `seconds` without an answer."""
        where = ", ".join(self.config.endpoints)
        cause = f": {self._failure.text}" if self._failure is not None else ""
        return EtcdUnavailable(f"{what}: no answer from {where} within {seconds:g} s{cause}")

    # -- streams --------------------------------------------------------------

    async def stream(self, method: str, timeout: float) -> EtcdStream:
        """A stream to the current endpoint, which fails when its member has no leader."""
        channel = self.channel()
        metadata = await self._metadata(channel, timeout)
        return channel.stream(method, (*(metadata or ()), _REQUIRE_LEADER))

    # -- endpoints ------------------------------------------------------------

    def channel(self, endpoint: str | None = None) -> EtcdChannel:
        """The channel to an endpoint, the current one unless named."""
        if self.closed:
            raise ClientClosed
        self.check_loop()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        name = endpoint or self.rotation.current
        channel = self._channels.get(name)
        if channel is None:
            if not self._tls_read:
                self._tls, self._tls_read = credentials(self.config), True
            made = self.config._connect(name)
            channel = self._channels[name] = made or EtcdChannel(name, self._tls)
        return channel

    async def give_up_on(self, channel: EtcdChannel, failure: CallFailed, waited: float) -> None:
        """Go on elsewhere after `failure`, or raise the error that it means.

        Args:
            waited: seconds that were allowed; a short wait proves nothing.
        """
        if self.closed:
            raise ClientClosed from None
        if failure.kind not in (Kind.LOST, Kind.TIMED_OUT):
            raise translate(failure) from None
        self.rotation.failed(channel.endpoint)
        silent = failure.kind is Kind.TIMED_OUT and waited >= _SUSPECT_AFTER
        # A channel whose connection broke would go on dialling the address that it resolved
        # before; a new one looks the name up again, so an etcd that moved is found at once.
        if silent or failure.broke_connection:
            await self.retire(channel)

    async def retire(self, channel: EtcdChannel) -> None:
        """Use a new connection to this endpoint from now on; its streams fail."""
        if self._channels.get(channel.endpoint) is channel:
            del self._channels[channel.endpoint]
        self._retired = {one for one in self._retired if not one.closed} | {channel}
        await channel.retire()

    # -- login ----------------------------------------------------------------

    async def _metadata(self, channel: EtcdChannel, timeout: float) -> Metadata | None:
        if self._token is None:
            await self._login(channel, timeout)
        return (("token", self._token),) if self._token else None

    def forget_login(self, refused: Metadata | None = None) -> None:
        """Log in again before the next call, unless that was done since.

        Args:
            refused: the metadata of the call that etcd refused.
        """
        used = dict(refused or ()).get("token", "")
        if self.config.user is not None and used == (self._token or ""):
            self._token = None

    async def _login(self, channel: EtcdChannel, timeout: float) -> None:
        async with self._login_lock:
            if self._token is not None:
                return
            request = api_pb2.AuthenticateRequest(
                name=self.config.user, password=self.config.password
            )
            try:
                response = await channel.unary("Auth/Authenticate", request, timeout, None)
            except CallFailed as failure:
                if "authentication is not enabled" not in failure.text:
                    raise
                self._token = ""
            else:
                self._token = response.token

    # -- end ------------------------------------------------------------------

    async def close(self) -> None:
        """Close all channels; what still runs raises `ClientClosed`."""
        self.closed = True
        channels = [*self._channels.values(), *self._retired]
        self._channels.clear()
        self._retired.clear()
        for channel in channels:
            await channel.close()

"""The interceptor that makes calls again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from grid.errors import InvalidArgument
from rpc.services import (
    CallTimedOut,
    ClientCall,
    ClientInterceptor,
    LocalBus,
    NoServers,
    ServiceError,
    retry,
)
from tests.rpc.services.greeting_grid import GreeterClient
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import local_hall


def failing(*errors: ServiceError | None) -> tuple[list[float], ClientInterceptor]:
    """An innermost interceptor that fails one call after the other; None answers."""
    left, timeouts = list(errors), []

    async def fail(call: ClientCall, _: Callable[[ClientCall], object]) -> Message:
        timeouts.append(call.timeout)
        error = left.pop(0)
        if error is not None:
            raise error
        return Hello(text="done")

    return timeouts, fail


async def call(*interceptors: ClientInterceptor, idempotent: bool = False) -> str:
    bus = LocalBus()
    try:
        async with GreeterClient(bus, timeout=5.0, interceptors=interceptors) as client:
            return (await client.greet(Hello(), idempotent=idempotent)).text
    finally:
        await bus.close()


async def test_what_no_handler_has_seen_is_sent_again_within_the_timeout() -> None:
    timeouts, fail = failing(NoServers("a"), NoServers("b"), None)
    assert await call(retry(pause=0.01), fail) == "done"
    assert len(timeouts) == 3
    assert 5.0 == timeouts[0] > timeouts[1] > timeouts[2] > 4.0
    timeouts, fail = failing(NoServers("a"), NoServers("b"))
    with pytest.raises(NoServers, match="b"):
        await call(retry(pause=0.01, attempts=2), fail)


async def test_an_unknown_outcome_is_sent_again_only_if_that_does_no_harm() -> None:
    timeouts, fail = failing(CallTimedOut("slow"), None)
    with pytest.raises(CallTimedOut):
        await call(retry(pause=0.01), fail)
    assert await call(retry(pause=0.01), fail, idempotent=True) == "done"
    _, fail = failing(ServiceError("not_found", "gone"))
    with pytest.raises(ServiceError, match="gone"):
        await call(retry(), fail, idempotent=True)
    assert len(timeouts) == 2


async def test_a_budget_bounds_the_attempts() -> None:
    again = retry(pause=0.0, attempts=100, budget=0.0)
    timeouts, fail = failing(*(NoServers("no") for _ in range(100)))
    for _ in range(3):
        with pytest.raises(NoServers):
            await call(again, fail)
    assert len(timeouts) == 3 + 10
    with pytest.raises(InvalidArgument, match="attempts"):
        retry(attempts=0)
    with pytest.raises(InvalidArgument, match="pause"):
        retry(pause=-1.0)


async def test_a_server_that_starts_late_is_found() -> None:
    async with local_hall() as made:
        client = await made.client(interceptors=[retry(pause=0.0, attempts=2)])
        with pytest.raises(NoServers):
            await client.greet(Hello())
        await made.serve("a")
        assert (await client.greet(Hello(text="hi"))).text == "HI"

"""The interceptor that makes calls again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from google.protobuf.message import Message

from grid.errors import InvalidArgument, RequestFailed
from rpc.services import (
    Again,
    CallTimedOut,
    ClientCall,
    ClientInterceptor,
    ClientProceed,
    LocalBus,
    NoServers,
    ServiceError,
    retry,
)
from tests.rpc.services.greeting_grid import GreeterClient
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import local_hall


def failing(*errors: Exception | None) -> tuple[list[float], ClientInterceptor]:
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
        retry(attempts=-1)
    with pytest.raises(InvalidArgument, match="pause"):
        retry(pause=-1.0)


async def test_a_server_that_starts_late_is_found() -> None:
    async with local_hall() as made:
        client = await made.client(interceptors=[retry(pause=0.0, attempts=2)])
        with pytest.raises(NoServers):
            await client.greet(Hello())
        await made.serve("a")
        assert (await client.greet(Hello(text="hi"))).text == "HI"


# -- the table of time-outs: the first one, and what each further attempt has more ---------------


async def test_the_time_of_each_attempt_grows_by_the_backoff() -> None:
    again = retry(attempts=3, timeout=0.1, backoff=0.2, pause=0.0)
    timeouts, fail = failing(None)
    assert await call(again, fail) == "done"
    assert timeouts == pytest.approx([0.1])
    timeouts, fail = failing(*(NoServers("no") for _ in range(3)))
    with pytest.raises(NoServers):
        await call(again, fail)
    assert timeouts == pytest.approx([0.1, 0.3, 0.5])
    timeouts, fail = failing(ServiceError("internal", "broken"))
    with pytest.raises(ServiceError, match="broken"):
        await call(again, fail, idempotent=True)
    assert timeouts == pytest.approx([0.1])


async def test_a_function_decides_otherwise() -> None:
    seen: list[tuple[str, int]] = []

    def decide(error: Exception, attempt: int) -> Again | None:
        seen.append((str(error), attempt))
        return Again(pause=0.01, timeout=0.2) if attempt < 3 else None

    timeouts, fail = failing(*(ServiceError("internal", "no") for _ in range(3)))
    with pytest.raises(ServiceError, match="no"):
        await call(retry(attempts=0, timeout=0.1, decide=decide), fail)
    assert seen == [("no", 1), ("no", 2), ("no", 3)]
    assert timeouts == pytest.approx([0.1, 0.2, 0.2])


async def test_without_a_number_it_goes_on_until_the_time_is_over() -> None:
    timeouts, fail = failing(*(NoServers("no") for _ in range(100)))
    calling = retry(attempts=0, pause=0.05, longest_pause=0.05)
    async with local_hall() as made:
        client = await made.client(timeout=1.0, interceptors=[calling, fail])
        with pytest.raises(NoServers):
            await client.greet(Hello())
    assert 1 < len(timeouts) <= 21


@pytest.mark.parametrize(
    ("error", "recoverable"),
    [
        (OSError("the connection broke"), True),
        (CallTimedOut("slow"), True),
        (ServiceError("unavailable"), True),
        (ServiceError("deadline_exceeded"), True),
        (RequestFailed("gRPC says so", "UNAVAILABLE"), True),
        (RequestFailed("gRPC says so", "INTERNAL"), False),
        (ServiceError("internal"), False),
        (ServiceError("unknown"), False),
    ],
)
async def test_which_errors_may_pass(error: Exception, recoverable: bool) -> None:
    timeouts, fail = failing(error, None)
    again = retry(pause=0.0)
    if recoverable:
        assert await call(again, fail, idempotent=True) == "done"
    else:
        with pytest.raises(type(error)):
            await call(again, fail, idempotent=True)
    assert len(timeouts) == (2 if recoverable else 1)
    _, fail = failing(error, None)
    with pytest.raises(type(error)):  # it may have been acted upon
        await call(again, fail)


async def test_the_opening_of_a_stream_is_tried_again() -> None:
    async with local_hall() as made:
        tries = []

        async def fail_once(call: ClientCall, proceed: object) -> object:
            tries.append(call)
            if len(tries) == 1:
                await made.serve("a")
                raise NoServers("not yet")
            return await proceed(call)  # type: ignore[operator]

        client = await made.client(stream_interceptors=[retry(pause=0.0), fail_once])
        async with client.talk() as stream:
            await stream.send(Hello(text="hi"))
            assert (await anext(stream)).text == "HI"
        assert len(tries) == 2


async def test_no_attempt_begins_after_the_time_of_the_call() -> None:
    began: list[float] = []
    bus = LocalBus()
    loop = asyncio.get_running_loop()

    async def count(call: ClientCall, proceed: ClientProceed) -> Message:
        began.append(call.timeout)
        loop.call_soon(time.sleep, 0.3)  # the loop is held up in the pause
        raise NoServers("as asked")

    async with GreeterClient(bus, interceptors=[retry(timeout=0.1, pause=0.01), count]) as client:
        with pytest.raises(NoServers, match="as asked"):
            await client.greet(Hello(text="hello"), timeout=0.2)
    assert len(began) == 1
    await bus.close()

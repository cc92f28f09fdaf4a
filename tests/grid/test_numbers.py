"""Numbers are refused where they are given if they are none, or out of their range."""

import math
from collections.abc import Callable
from typing import Any

import pytest

import grid
from grid.embedded import Etcd
from grid.errors import GridError, InvalidArgument
from grid.etcd import EtcdClient, EtcdConfig
from grid.numbers import FOREVER, check_count, check_seconds, check_share
from grid.registry.ring import Ring
from grid.testing import FaultProxy, wait_until
from grid.wire_pb2 import EchoMsg

NO_NUMBERS = [True, False, math.nan, "1", [], 1j, b"1"]
NO_SECONDS = [*NO_NUMBERS, -1, -0.001, math.inf, -math.inf, 10**400]
NO_COUNTS = [*NO_NUMBERS, 0, -1, 1.5, math.inf]

# What takes a number of seconds, and an endless one too if it says so.
SECONDS: dict[str, Callable[[Any], object]] = {
    "Retry.first_pause": lambda s: grid.Retry(first_pause=s),
    "Retry.longest_pause": lambda s: grid.Retry(longest_pause=s),
    "BreakerPolicy.rest": lambda s: grid.BreakerPolicy(rest=s),
    "Restart.within": lambda s: grid.Restart(within=s),
    "Restart.pause": lambda s: grid.Restart(pause=s),
    "Restart.longest_pause": lambda s: grid.Restart(longest_pause=s),
    "Server.lease": lambda s: grid.Server("n", lease=s),
    "Server.drain_timeout": lambda s: grid.Server("n", drain_timeout=s),
    "Server.configure": lambda s: grid.Server("n").configure(drain_timeout=s),
    "define.idle": lambda s: grid.Server("n").define("a", print, mailbox=1, idle=s),
    "Etcd.timeout": lambda s: Etcd(timeout=s),
    "FaultProxy.delay": lambda s: FaultProxy("127.0.0.1:1").delay(s),
}
ENDLESS: dict[str, Callable[[Any], object]] = {
    "Client.timeout": lambda s: grid.Client("n", etcd="127.0.0.1:1", timeout=s),
    "sync.Client.timeout": lambda s: grid.sync.Client("n", etcd="127.0.0.1:1", timeout=s).close(),
    "EtcdConfig.timeout": lambda s: EtcdConfig.parse("127.0.0.1:1", timeout=s),
    "EtcdClient.watch": lambda s: EtcdClient(EtcdConfig(("a:1",))).watch("k", patience=s),
    "Client.watch": lambda s: grid.Client("n", etcd="127.0.0.1:1").watch("peer", patience=s),
}
COUNTS: dict[str, Callable[[Any], object]] = {
    "Retry.attempts": lambda n: grid.Retry(attempts=n),
    "BreakerPolicy.failures": lambda n: grid.BreakerPolicy(failures=n),
    "BreakerPolicy.probes": lambda n: grid.BreakerPolicy(probes=n),
    "Restart.limit": lambda n: grid.Restart(limit=n),
    "Client.sessions_per_peer": lambda n: grid.Client("n", sessions_per_peer=n),
    "Client.max_message_bytes": lambda n: grid.Client("n", max_message_bytes=n),
    "Server.max_message_bytes": lambda n: grid.Server("n", max_message_bytes=n),
    "define.concurrency": lambda n: grid.Server("n").define("a", lambda _: None, concurrency=n),
    "actor.concurrency": lambda n: grid.Server("n").actor("a", concurrency=n),
    "Ring.points": lambda n: Ring(["a"], points=n),
}


@pytest.mark.parametrize("wrong", NO_SECONDS, ids=lambda wrong: repr(wrong)[:8])
def test_no_number_of_seconds(wrong: Any) -> None:
    for name, take in SECONDS.items():
        with pytest.raises(InvalidArgument, match="must be a number of seconds"):
            assert not take(wrong), name
    if wrong not in (math.inf, 10**400):
        for name, take in ENDLESS.items():
            with pytest.raises(InvalidArgument, match="must be a number of seconds"):
                assert not take(wrong), name


@pytest.mark.parametrize("wrong", NO_COUNTS, ids=repr)
def test_no_whole_number(wrong: Any) -> None:
    for name, take in COUNTS.items():
        with pytest.raises(InvalidArgument, match=r"must be (a whole number, )?1 or more"):
            assert not take(wrong), name
    if wrong != 0 or wrong is False:
        with pytest.raises(InvalidArgument, match="size of a mailbox must be"):
            grid.Server("n").define("a", lambda _: None, mailbox=wrong)


@pytest.mark.parametrize("wrong", [*NO_NUMBERS, -0.1, 1.1, math.inf], ids=repr)
def test_no_share(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="must be a number from 0 to 1"):
        grid.Restart(jitter=wrong)


@pytest.mark.parametrize("wrong", NO_NUMBERS, ids=repr)
async def test_no_timeout_of_a_call(wrong: Any) -> None:
    async with grid.Client("n", etcd="127.0.0.1:1") as client:
        for call in (
            lambda: client.request("a", EchoMsg(), timeout=wrong),
            lambda: client.send("a", EchoMsg(), timeout=wrong),
            lambda: client.tell("a", EchoMsg(), timeout=wrong),
            lambda: client.stream("a", EchoMsg(), timeout=wrong),
            lambda: client.broadcast(grid.Group("a"), EchoMsg(), timeout=wrong),
            lambda: client.start_actor("a", timeout=wrong),
            lambda: client.stop_actor("a", timeout=wrong),
            lambda: client.stop_actor("a", grace=wrong),
            lambda: client.query("peer", timeout=wrong),
            lambda: client.check("a", timeout=wrong),
            lambda: client.wait_until_serving("a", timeout=wrong),
            lambda: wait_until(lambda: False, "nothing", timeout=wrong),
        ):
            with pytest.raises(InvalidArgument, match="must be a number of seconds"):
                await call()


@pytest.mark.parametrize("ttl", [True, "1", 10**400], ids=lambda ttl: repr(ttl)[:8])
async def test_no_time_of_a_lease(ttl: Any) -> None:
    async with EtcdClient(EtcdConfig.parse("127.0.0.1:1")) as client:
        with pytest.raises(InvalidArgument, match="ttl must be a number of seconds above 0"):
            await client.open_lease(ttl)


def test_right_numbers_are_handed_on() -> None:
    assert check_seconds("s", 0) == 0
    assert check_seconds("s", FOREVER) == FOREVER
    assert check_seconds("s", math.inf, zero=False, endless=True) == math.inf
    assert check_count("n", 0, 0) == 0
    assert check_share("s", 1) == 1
    for name, take in {**SECONDS, **ENDLESS, **COUNTS}.items():
        assert take(3) is not False, name  # does not raise
    with pytest.raises(InvalidArgument, match="above 0"):
        check_seconds("s", 0, zero=False)


def test_a_number_is_an_error_of_the_grid_and_of_its_value() -> None:
    with pytest.raises(GridError) as caught:
        check_count("size", True)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == "grid: size must be a whole number, 1 or more, not True"

"""The timeout and the retries of a state's async work."""

import asyncio
import gc
import sys
import warnings
from typing import Any

import pytest

from machine import (
    InvalidArgument,
    Machine,
    Options,
    Retries,
    Schema,
    State,
    States,
    StateTimeout,
    state,
)
from machine.lint import lint

QUICK = Retries(attempts=3, pause=0.001)


class Fetch(States):
    Running = state(retry=QUICK)
    Limited = state(timeout=0.02)
    Both = state(timeout=0.02, retry=QUICK)


class Fetcher(Machine[Fetch]):
    def __init__(self, failures: int = 99) -> None:
        super().__init__()
        self.failures = failures
        self.attempts: list[int] = []

    async def RunningState(self, ctx: Any, url: Any = "") -> None:
        self.attempts.append(ctx.attempt)
        await asyncio.sleep(0)
        if len(self.attempts) <= self.failures:
            raise OSError(f"no route {url}")

    async def LimitedState(self) -> None:
        await asyncio.sleep(60)

    async def BothState(self, ctx: Any) -> None:
        self.attempts.append(ctx.attempt)
        await asyncio.sleep(60)


async def test_work_that_raises_is_begun_again_in_the_same_activation() -> None:
    fetcher = Fetcher(failures=2)
    fetcher.add(Fetch.Running, args={"url": "x"})
    await fetcher.join()
    assert fetcher.attempts == [1, 2, 3]
    assert fetcher.err is None
    assert fetcher.tick(Fetch.Running) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_eager_work_has_the_same_limits() -> None:
    seen: list[int] = []

    async def at_once(ctx: Any) -> None:
        seen.append(ctx.attempt)
        if len(seen) < 3:
            raise OSError

    async def for_ever() -> None:
        await asyncio.sleep(60)

    machine = Machine(
        {"A": State(retry=QUICK), "B": State(timeout=0.01)},
        handlers={"AState": at_once, "BState": for_ever},
        options=Options(eager=True),
    )
    machine.add("A")
    await machine.join()
    assert seen == [1, 2, 3]
    assert machine.err is None
    machine.add("B")
    await machine.when_err()
    assert isinstance(machine.err, StateTimeout)


async def test_the_error_of_the_last_attempt_is_the_machines() -> None:
    fetcher = Fetcher()
    fetcher.add(Fetch.Running, args={"url": "x"})
    await fetcher.when_err()
    assert fetcher.attempts == [1, 2, 3]
    assert isinstance(fetcher.err, OSError)
    assert str(fetcher.err) == "no route x"
    assert "after 3 attempts of RunningState" in fetcher.err.__notes__
    assert fetcher.is_("Running", "Exception")


async def test_work_that_takes_longer_is_cancelled_and_an_error() -> None:
    fetcher = Fetcher()
    fetcher.add(Fetch.Limited)
    await fetcher.when_err()
    error = fetcher.err
    assert isinstance(error, StateTimeout)
    assert (error.state, error.handler, error.timeout) == ("Limited", "LimitedState", 0.02)
    assert "LimitedState" in str(error)
    assert "0.02 s" in str(error)


async def test_a_timeout_counts_as_an_error_to_try_again_after() -> None:
    fetcher = Fetcher()
    fetcher.add(Fetch.Both)
    await fetcher.when_err()
    assert fetcher.attempts == [1, 2, 3]
    assert isinstance(fetcher.err, StateTimeout)


async def test_work_that_ignores_its_cancellation_has_timed_out_all_the_same() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return

    machine = Machine({"A": State(timeout=0.01)}, handlers={"AState": stubborn})
    machine.add("A")
    await machine.when_err()
    assert isinstance(machine.err, StateTimeout)


async def test_a_timeout_of_the_work_itself_is_not_the_states() -> None:
    async def work() -> None:
        raise TimeoutError("its own")

    machine = Machine({"A": State(timeout=60)}, handlers={"AState": work})
    machine.add("A")
    await machine.when_err()
    assert str(machine.err) == "its own"


@pytest.mark.parametrize("passes", [0, 1, 5])
async def test_the_end_of_the_state_ends_attempts_and_pauses(passes: Any) -> None:
    begun = 0

    async def fail() -> None:
        nonlocal begun
        begun += 1
        raise OSError

    retry = Retries(attempts=9, pause=60, longest=60)
    machine = Machine({"A": State(retry=retry, timeout=60)}, handlers={"AState": fail})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine.add("A")
        for _ in range(passes):
            await asyncio.sleep(0)
        machine.remove("A")
        await machine.join()
        gc.collect()
    assert begun == (passes > 0)
    assert machine.err is None


async def test_pauses_double_up_to_the_longest_and_are_jittered() -> None:
    pauses: list[float] = []

    def jitter(pause: Any) -> Any:
        pauses.append(pause)
        return 0.0

    async def fail() -> None:
        raise OSError

    machine = Machine(
        {"A": State(retry=Retries(attempts=6, pause=1.0, longest=5.0))},
        handlers={"AState": fail},
        options=Options(jitter=jitter),
    )
    machine.add("A")
    await machine.when_err()
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


async def test_each_handler_of_a_state_counts_its_own_attempts() -> None:
    seen: dict[str, list[int]] = {"one": [], "two": []}

    def failing(name: Any, failures: Any) -> Any:
        async def work(ctx: Any) -> None:
            seen[name].append(ctx.attempt)
            if len(seen[name]) <= failures:
                raise OSError

        return {"AState": work}

    machine = Machine({"A": State(retry=QUICK)}, handlers=[failing("one", 2), failing("two", 0)])
    machine.add("A")
    await machine.join()
    assert seen == {"one": [1, 2, 3], "two": [1]}
    assert machine.state_ctx("A").attempt == 1


def test_plain_handlers_are_called_once() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise OSError

    machine = Machine({"A": State(retry=3)}, handlers={"AState": fail})
    assert machine.add("A").canceled
    assert calls == [1]


async def test_work_started_by_hand_has_the_limits_too() -> None:
    fetcher = Fetcher()
    fetcher.add(Fetch.Both)
    other = Fetcher()
    other.import_(type(fetcher.export())(**{**_fields(fetcher.export()), "id": other.id}))
    fetcher.dispose()
    assert other.start_work() == ("Both",)
    await other.when_err()
    assert isinstance(other.err, StateTimeout)


def _fields(snapshot: Any) -> Any:
    return {name: getattr(snapshot, name) for name in snapshot.__dataclass_fields__}


@pytest.mark.parametrize("timeout", [0, -1, True, "5", float("nan"), float("inf"), 10**400])
def test_a_timeout_is_a_number_above_0(timeout: Any) -> None:
    with pytest.raises(InvalidArgument, match="timeout must be a number above 0"):
        state(timeout=timeout)


@pytest.mark.parametrize("retry", [0, -1, True, "3", 1.5, {"attempt": 3}])
def test_a_retry_is_a_number_above_0_or_retries(retry: Any) -> None:
    with pytest.raises(InvalidArgument, match="retry"):
        State(retry=retry)


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": 2, "pause": 0},
        {"attempts": 2, "longest": -1},
        {"attempts": 2, "pause": 10**400},
    ],
)
def test_retries_are_numbers_above_0(fields: Any) -> None:
    with pytest.raises(InvalidArgument):
        Retries(**fields)


def test_limits_survive_data_and_are_not_in_the_fingerprint() -> None:
    schema = Schema({"A": {"timeout": 5, "retry": 3}, "B": State(retry=QUICK)})
    assert schema["A"].retry == Retries(3)
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.fingerprint() == Schema.parse("A; B").fingerprint()
    assert schema["A"].replace(timeout=None) == State(retry=3)
    assert State(auto=True).extend(schema["A"]) == State(auto=True, timeout=5, retry=3)


class Mute(Machine, schema={"A": {"timeout": 5}, "B": {"retry": 3}, "C": {"retry": 3}}):
    def BState(self) -> None: ...
    async def CState(self) -> None: ...


def test_lint_tells_of_limits_that_no_handler_has() -> None:
    found = [one for one in lint(Mute) if one.code == "limits-no-work"]
    assert [one.state for one in found] == ["A", "B"]
    assert "A declares timeout, but has no async State handler" in found[0].text
    assert "B declares retry, but has no async State handler" in found[1].text

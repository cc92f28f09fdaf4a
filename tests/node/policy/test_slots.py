"""The policy of an agent: workers are kept alive, and those that fail do not spin."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from node.policy.instructions import End, Kill, Prepare, SlotInstruction, Spawn, Trouble
from node.policy.slots import Slots
from node.settings import PoolSettings

POOL = PoolSettings(start_failures=3, pause=0.2, longest_pause=10.0, heartbeat=5.0, grace=2.0)


class Agent:
    """An agent that carries instructions out, on a clock of its own."""

    def __init__(self, pool: PoolSettings = POOL, at_once: int = 1000) -> None:
        self.slots = Slots(pool, lambda: 1.0, at_once)
        self.at = 0.0
        self.names = itertools.count()
        self.live: list[str] = []
        self.told: list[SlotInstruction] = []
        self.spawns = 0
        self.spares = 0

    def carry_out(self, instructions: Iterable[SlotInstruction]) -> None:
        killed: list[str] = []
        for one in instructions:
            self.told.append(one)
            if isinstance(one, Spawn):
                self.spawns += 1
                name = f"w{next(self.names)}"
                self.live.append(name)
                self.slots.spawned(name, self.at, spare=self.spares > 0)
                self.spares = max(0, self.spares - 1)
            elif isinstance(one, Prepare):
                self.spares += 1
            elif isinstance(one, Kill):
                killed.append(one.worker)
        for worker in killed:  # it takes a moment
            self.exits(worker)

    def scale(self, count: int) -> None:
        self.carry_out(self.slots.scale(count, self.at))

    def exits(self, worker: str, reason: str = "gone") -> None:
        self.live.remove(worker)
        self.carry_out(self.slots.exited(worker, reason, self.at))

    def spare_ends(self) -> None:
        self.spares -= 1
        self.slots.spare_ended(self.at)

    def ready(self, worker: str) -> None:
        self.carry_out(self.slots.ready(worker, self.at))

    def wait(self, seconds: float) -> None:
        until = self.at + seconds
        while self.at < until:
            self.at += 0.1
            for one in self.live:
                self.carry_out(self.slots.beat(one, self.at))
            self.carry_out(self.slots.tick(self.at))


def test_few_start_at_once_and_the_next_ones_when_they_are_ready() -> None:
    agent = Agent(at_once=2)
    agent.scale(5)
    assert agent.live == ["w0", "w1"]
    for number in range(5):
        agent.ready(f"w{number}")
        assert len(agent.live) == min(5, number + 3)


def test_a_killed_worker_is_replaced_at_once() -> None:
    agent = Agent()
    agent.scale(2)
    for one in agent.live:
        agent.ready(one)
    agent.wait(3.0)
    agent.exits(agent.live[0])
    assert len(agent.live) == 2


def test_workers_that_fail_at_their_start_are_tried_with_growing_pauses_and_told_of() -> None:
    agent = Agent()
    agent.scale(4)
    agent.wait(0.1)
    tried = []
    while agent.at < 60.0:
        for one in list(agent.live):
            tried.append(agent.at)
            agent.exits(one, "ImportError: nope")
        agent.wait(0.1)
    assert Trouble("ImportError: nope") in agent.told
    assert agent.slots.trouble == "ImportError: nope"
    assert len(tried) < 20
    # One that starts, and stays, ends the trouble.
    agent.wait(10.0)
    agent.ready(agent.live[0])
    agent.wait(1.5)
    assert agent.slots.trouble == ""
    assert agent.told[-4:].count(Trouble("")) == 1
    assert len(agent.live) == 4


def test_workers_that_are_killed_by_order_are_no_failures() -> None:
    agent = Agent()
    agent.scale(1)
    for _ in range(10):
        agent.carry_out(agent.slots.kill(agent.live[0], "it was told to"))
        assert len(agent.live) == 1
    assert agent.slots.trouble == ""


def test_a_spare_is_prepared_once_all_workers_are_ready_and_becomes_the_next_one() -> None:
    agent = Agent()
    agent.scale(2)
    agent.ready(agent.live[0])
    assert Prepare() not in agent.told
    agent.ready(agent.live[1])
    agent.wait(5.0)
    assert agent.told.count(Prepare()) == 1
    agent.exits(agent.live[0])  # its place takes the spare, and another one is prepared
    agent.ready(agent.live[-1])
    agent.wait(1.0)
    assert agent.told.count(Prepare()) == 2
    agent.scale(0)
    agent.spare_ends()
    agent.wait(20.0)
    assert agent.told.count(Prepare()) == 2


def test_spares_that_end_are_prepared_again_with_growing_pauses() -> None:
    agent = Agent()
    agent.scale(1)
    agent.ready(agent.live[0])
    spares, seen = 0, 0
    while agent.at < 60.0:
        agent.wait(0.1)
        spares = agent.told.count(Prepare())
        if spares > seen:
            agent.spare_ends()
            seen = spares
    assert 5 < spares < 20
    assert agent.live
    assert agent.slots.trouble == ""


def test_an_old_worker_does_not_excuse_new_ones_that_fail() -> None:
    agent = Agent()
    agent.scale(1)
    agent.ready(agent.live[0])
    agent.wait(5.0)
    agent.scale(2)
    before = agent.spawns
    for _ in range(300):
        for one in agent.live[1:]:
            agent.exits(one, "it fails")
        agent.wait(0.1)
    assert agent.slots.trouble == "it fails"
    assert agent.spawns - before < 12


def test_silence_a_late_start_a_long_job_and_much_memory_are_the_end_of_a_worker() -> None:
    pool = PoolSettings(heartbeat=2.0, start_timeout=3.0, job_timeout=4.0, memory=1000)
    slots = Slots(pool, lambda: 0.0)
    for name in ("silent", "late", "slow", "fat", "good"):
        slots.spawned(name, 0.0)
        if name != "late":
            slots.ready(name, 0.0)
    killed: dict[str, str] = {}
    at = 0.0
    while at < 6.0:
        at += 0.5
        found = slots.tick(at)
        for name, busy, memory in (("slow", at, 1), ("fat", 0, int(at * 500)), ("good", 1.0, 1000)):
            if name not in killed:
                found += slots.beat(name, at, busy=busy, memory=memory)
        for one in found:
            if isinstance(one, Kill):
                killed[one.worker] = one.reason
                slots.exited(one.worker, one.reason, at)
    assert set(killed) == {"silent", "late", "slow", "fat"}
    assert "sign of life" in killed["silent"]
    assert "not ready" in killed["late"]
    assert "more than 4 s" in killed["slow"]
    assert "memory" in killed["fat"]


def test_the_fourth_error_in_a_while_is_the_end_of_a_worker_and_the_third_is_not() -> None:
    slots = Slots(PoolSettings(error_limit=3, error_memory=10.0), lambda: 0.0)
    for name in ("often", "seldom"):
        slots.spawned(name, 0.0)
        slots.ready(name, 0.0)
    assert slots.beat("often", 1.0, errors=3) == []
    assert slots.beat("often", 2.0, errors=3) == []
    assert slots.beat("often", 9.0, errors=4) == [End("often")]
    for number in range(20):
        assert slots.beat("seldom", 4.0 * number, errors=number) == []


def test_a_pause_of_the_agent_itself_kills_no_worker() -> None:
    slots = Slots(PoolSettings(heartbeat=2.0), lambda: 0.0)
    slots.spawned("w", 0.0)
    slots.ready("w", 0.0)
    slots.tick(0.5)
    assert slots.tick(100.0) == []
    assert [type(one) for one in slots.tick(102.5)] == [Kill]


def test_a_retired_worker_is_killed_after_its_grace_and_not_replaced() -> None:
    agent = Agent()
    agent.scale(1)
    (worker,) = agent.live
    agent.ready(worker)
    agent.scale(0)
    agent.carry_out(agent.slots.retire(worker, agent.at))
    assert End(worker) in agent.told
    agent.wait(3.0)
    assert agent.live == []
    agent.wait(3.0)
    assert agent.spawns == 1


def test_spares_are_counted_as_they_are_taken_and_as_they_end() -> None:
    slots = Slots(PoolSettings(spare=2, pause=1.0), lambda: 1.0)
    assert slots.scale(1, 0.0) == [Spawn()]
    slots.spawned("w0", 0.0)
    assert slots.ready("w0", 0.0) == [Prepare(), Prepare()]
    # A worker that was started without one leaves both.
    assert slots.scale(2, 1.0) == [Spawn()]
    slots.spawned("w1", 1.0)
    assert slots.ready("w1", 1.0) == []
    assert slots.scale(3, 2.0) == [Spawn()]
    slots.spawned("w2", 2.0, spare=True)
    assert slots.ready("w2", 2.0) == [Prepare()]
    # One that its agent has ended is replaced at once, and one that failed after a pause.
    slots.spare_ended(3.0, by_order=True)
    assert slots.tick(3.0) == [Prepare()]
    slots.spare_ended(4.0)
    assert slots.tick(4.1) == []
    assert slots.tick(5.0) == [Prepare()]


events = st.lists(
    st.one_of(
        st.tuples(st.just("scale"), st.integers(0, 4)),
        st.tuples(st.just("exits"), st.integers(0, 9)),
        st.tuples(st.just("ready"), st.integers(0, 9)),
        st.tuples(st.just("retire"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from((1, 5, 30))),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(events)
def test_there_are_never_too_many_and_in_the_end_enough(course: list[tuple[str, int]]) -> None:
    agent = Agent()
    count = 0
    for what, number in course:
        worker = agent.live[number % len(agent.live)] if agent.live else ""
        match what:
            case "scale":
                count = number
                agent.scale(count)
            case "wait":
                agent.wait(number / 10)
            case "exits" if worker:
                agent.exits(worker)
            case "ready" if worker:
                agent.ready(worker)
            case "retire" if worker:
                agent.carry_out(agent.slots.retire(worker, agent.at))
        assert agent.slots.live <= 4
    agent.scale(4)
    for _ in range(40):
        agent.wait(1.0)
        for one in agent.live:
            agent.ready(one)
    assert agent.slots.live == 4
    assert agent.slots.trouble == ""

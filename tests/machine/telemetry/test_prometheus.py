"""Metrics of machines for Prometheus."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from machine import Machine, Tracer, Transition
from machine.telemetry import PrometheusTracer

AnyMachine = Machine[Any]


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of a test's own."""
    return CollectorRegistry()


class Values:
    """The values of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def __call__(self, name: str, machine: str = "m", **labels: str) -> float | None:
        wanted = {"machine": machine, **labels}
        return self.registry.get_sample_value(f"machine_{name}", wanted)


@pytest.fixture
def value(registry: CollectorRegistry) -> Values:
    """Asks for a metric."""
    return Values(registry)


def test_gauges(registry: CollectorRegistry, value: Values) -> None:
    machine: AnyMachine = Machine("A +B; B -C ?A; C >A", id="m")
    machine.bind_tracer(PrometheusTracer(registry))
    names = ("states", "relations", "ref_states", "states_active", "states_inactive", "queue_size")
    assert [value(name) for name in names] == [4, 4, 3, 0, 4, 0]
    machine.add("A")
    assert (value("states_active"), value("states_inactive")) == (2, 2)
    machine.set_schema("A +B; B -C ?A; C >A; D")
    assert (value("states"), value("states_inactive")) == (5, 3)


def test_the_queue(registry: CollectorRegistry, value: Values) -> None:
    seen: list[float | None] = []

    def state(machine: AnyMachine) -> None:
        machine.add("B")
        machine.add("C")
        seen.append(value("queue_size"))

    machine: AnyMachine = Machine("A; B; C", id="m", handlers={"AState": state})
    machine.bind_tracer(PrometheusTracer(registry))
    machine.add("A")
    assert seen == [2]
    assert value("queue_size") == 0


def test_counters(registry: CollectorRegistry, value: Values) -> None:
    def raising() -> None:
        raise ValueError("broken")

    counted: list[int] = []

    class Steps(Tracer):
        def transition_end(self, tx: Transition) -> None:
            counted.append(0 if tx.mutation.check else len(tx.steps))

    handlers = {"BEnter": lambda: False, "CState": raising}
    machine: AnyMachine = Machine("A! -D; B; C; D* ?A; E ?B", id="m", handlers=handlers)
    machine.bind_tracer(PrometheusTracer(registry, steps=True))
    machine.bind_tracer(Steps())
    machine.add("A")
    machine.add("A")
    machine.add("B")
    machine.add("E")
    machine.can_add("B")
    machine.set()
    machine.add("C")
    transitions = {
        (accepted, auto): value("transitions_total", accepted=accepted, auto=auto)
        for accepted in ("true", "false")
        for auto in ("true", "false")
    }
    assert transitions == {
        ("true", "false"): 4,
        ("true", "true"): None,
        ("false", "false"): 3,
        ("false", "true"): 2,
    }
    assert value("transition_seconds_count") == 9
    assert value("exceptions_total") == 1
    assert value("ticks_total") == sum(machine.export().ticks)
    assert value("states_added_total") == 3
    assert value("states_removed_total") == 2
    assert value("states_touched_total") == 5
    assert value("handlers_total") == 3
    assert value("steps_total") == sum(counted)


def test_a_histogram_of_times(registry: CollectorRegistry, value: Values) -> None:
    machine: AnyMachine = Machine("A!", id="m", tracers=[PrometheusTracer(registry)])
    for _ in range(3):
        machine.add("A")
    assert value("transition_seconds_count") == 3
    assert value("transition_seconds_bucket", le="+Inf") == 3
    total = value("transition_seconds_sum")
    assert total is not None
    assert 0 < total < 1


def test_metrics_of_several_machines_and_tracers(
    registry: CollectorRegistry, value: Values
) -> None:
    one: AnyMachine = Machine("A", id="one", tracers=[PrometheusTracer(registry)])
    two: AnyMachine = Machine("A", id="two", tracers=[PrometheusTracer(registry)])
    one.add("A")
    assert value("states_active", "one") == 1
    assert value("states_active", "two") == 0
    assert b'machine_states{machine="two"} 2.0' in generate_latest(registry)
    two.dispose()
    assert b"two" not in generate_latest(registry)
    assert value("states_active", "one") == 1


def test_one_label_for_many_machines(registry: CollectorRegistry, value: Values) -> None:
    tracer = PrometheusTracer(registry, label=lambda machine: machine.tags[0])
    one, two = (Machine[Any]("A", tags=["door"]) for _ in range(2))
    for machine in (one, two):
        machine.bind_tracer(tracer)
        machine.add("A")
    assert value("states_active", "door") == 2
    one.dispose()
    assert value("states_active", "door") == 1
    assert value("ticks_total", "door") == 2
    two.dispose()
    assert value("states_active", "door") is None


def test_metrics_can_be_kept(registry: CollectorRegistry, value: Values) -> None:
    tracer = PrometheusTracer(registry, keep=True)
    machine: AnyMachine = Machine("A", id="m", tracers=[tracer])
    machine.add("A")
    machine.dispose()
    assert value("ticks_total") == 1
    assert value("states_active") == 0


def test_metrics_of_collected_machines_go(registry: CollectorRegistry, value: Values) -> None:
    tracer = PrometheusTracer(registry)
    machine: AnyMachine = Machine("A", id="m", tracers=[tracer])
    del machine
    gc.collect()
    Machine("A", id="next", tracers=[tracer])
    assert value("states") is None


def test_another_prefix(registry: CollectorRegistry) -> None:
    Machine("A", id="m", tracers=[PrometheusTracer(registry, prefix="door")])
    assert registry.get_sample_value("door_states", {"machine": "m"}) == 2

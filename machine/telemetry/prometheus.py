"""Metrics of machines for Prometheus."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from machine.core.identity import IdentityMap
from machine.core.tracer import Tracer
from machine.errors import MissingExtra
from machine.schema.schema import EXCEPTION

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from machine.core.handlers import Handler
    from machine.core.machine import Machine
    from machine.core.mutation import Mutation
    from machine.core.transition import Transition
    from machine.schema.schema import Schema

__all__ = ["PrometheusTracer"]

_GAUGES = {
    "states": "States of the schema.",
    "relations": "Relations between states.",
    "ref_states": "States that relations name.",
    "states_active": "States that are active.",
    "states_inactive": "States that are not active.",
    "queue_size": "Mutations that wait.",
}
_COUNTERS = {
    "ticks": "Ticks of all states.",
    "exceptions": "Errors.",
    "states_added": "States that became active.",
    "states_removed": "States that became inactive.",
    "states_touched": "States that changed.",
    "steps": "Steps of relations.",
    "handlers": "Handlers that were called.",
}
_BUCKETS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 10.0)


class _Metrics:
    """The metrics of one registry with one prefix; tracers share them."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        label = ["machine"]
        self.gauges = {
            name: Gauge(f"{prefix}_{name}", text, label, registry=registry)
            for name, text in _GAUGES.items()
        }
        self.counters = {
            name: Counter(f"{prefix}_{name}", text, label, registry=registry)
            for name, text in _COUNTERS.items()
        }
        self.transitions = Counter(
            f"{prefix}_transitions",
            "Transitions, by their outcome.",
            ["machine", "accepted", "auto"],
            registry=registry,
        )
        self.seconds = Histogram(
            f"{prefix}_transition_seconds",
            "Time of a transition with its handlers.",
            label,
            buckets=_BUCKETS,
            registry=registry,
        )
        self.users: dict[str, int] = {}
        self.lock = threading.Lock()


_shared: weakref.WeakKeyDictionary[CollectorRegistry, dict[str, _Metrics]] = (
    weakref.WeakKeyDictionary()
)
_sharing = threading.Lock()


class PrometheusTracer(Tracer):
    """A tracer that counts transitions and more, with the machine's id as the label `machine`.

    The metrics, each with the prefix: gauges `states`, `relations`,
    `ref_states`, `states_active`, `states_inactive`, `queue_size`; counters
    `transitions_total` (also with the labels `accepted` and `auto`),
    `ticks_total`, `exceptions_total`, `states_added_total`,
    `states_removed_total`, `states_touched_total`, `handlers_total`,
    `steps_total`; the histogram `transition_seconds`.

    May be bound to several machines, in any threads; several tracers of one
    registry share its metrics. When the last machine with a label is disposed
    (or collected, and others go on), the metrics with this label are removed.

    Args:
        registry: the global one by default.
        prefix: before the names of the metrics.
        label: the label of a machine instead of its id, for instance one for
            all machines of a kind; then gauges are sums.
        steps: count the steps of relations. It costs time.
        keep: leave the metrics of machines that are gone; always so with several processes.

    Raises:
        MissingExtra: the extra `prometheus` is not installed.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        *,
        prefix: str = "machine",
        label: Callable[[Machine[Any]], str] | None = None,
        steps: bool = False,
        keep: bool = False,
    ) -> None:
        try:
            from prometheus_client import REGISTRY
        except ImportError as error:
            raise MissingExtra("prometheus-client", "prometheus", "metrics of machines") from error
        used = REGISTRY if registry is None else registry
        with _sharing:
            metrics = _shared.setdefault(used, {})
            if prefix not in metrics:
                metrics[prefix] = _Metrics(used, prefix)
            self._metrics = metrics[prefix]
        self._label = label
        self._steps = steps
        self._keep = keep or "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._gone: deque[_Series] = deque()
        self._machines: IdentityMap[Machine[Any], _Series] = IdentityMap()

    def machine_init(self, machine: Machine[Any]) -> None:
        """Begin with a machine."""
        label = machine.id if self._label is None else self._label(machine)
        series = self._machines[machine] = _Series(self._metrics, label, self._keep)
        weakref.finalize(machine, self._gone.append, series).atexit = False
        self._sweep()
        self._describe(machine, series)

    def _sweep(self) -> None:
        """End with machines that were collected; at once might be in the midst of something."""
        while self._gone:
            self._gone.popleft().end()

    def schema_changed(self, machine: Machine[Any], old: Schema) -> None:
        """Make series for the states of the new schema."""
        series = self._machines.get(machine)
        if series is not None:
            self._describe(machine, series)

    def _describe(self, machine: Machine[Any], series: _Series) -> None:
        schema = machine.schema
        named = [
            name
            for state in schema.values()
            for relation in (state.require, state.add, state.remove, state.after)
            for name in relation
        ]
        series.set("states", len(schema))
        series.set("relations", len(named))
        series.set("ref_states", len(set(named)))
        self._count_active(machine, series)

    def _count_active(self, machine: Machine[Any], series: _Series) -> None:
        active = len(machine.active)
        series.set("states_active", active)
        series.set("states_inactive", len(machine.names) - active)

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """End with a machine."""
        series = self._machines.pop(machine, None)
        if series is not None:
            series.end()

    def mutation_queued(self, machine: Machine[Any], mutation: Mutation) -> None:
        """One more waits."""
        series = self._machines.get(machine)
        if series is not None:
            series.set("queue_size", len(machine.queue))

    def queue_end(self, machine: Machine[Any]) -> None:
        """None waits."""
        self._sweep()
        series = self._machines.get(machine)
        if series is not None:
            series.set("queue_size", len(machine.queue))

    def transition_init(self, tx: Transition) -> None:
        """Take the time."""
        series = self._machines.get(tx.machine)
        if series is not None:
            series.began = time.perf_counter()

    def handler_start(self, tx: Transition, handler: Handler) -> None:
        """Count it."""
        series = self._machines.get(tx.machine)
        if series is not None:
            series.count("handlers", 1)

    def transition_end(self, tx: Transition) -> None:
        """Count it."""
        series = self._machines.get(tx.machine)
        if series is None or tx.mutation.check:
            return
        series.transition(time.perf_counter() - series.began, tx.accepted, tx.auto)
        if self._steps:
            series.count("steps", len(tx.steps))
        if EXCEPTION in tx.called and tx.accepted:
            series.count("exceptions", 1)
        before, after = tx.ticks_before, tx.ticks_after
        if after is before:
            return
        ticks = [(old, new) for old, new in zip(before, after, strict=True) if new != old]
        added = sum(new % 2 for _, new in ticks)
        series.count("ticks", sum(new - old for old, new in ticks))
        series.count("states_touched", len(ticks))
        series.count("states_added", added)
        series.count("states_removed", len(ticks) - added)
        self._count_active(tx.machine, series)


class _Series:
    """The part of one machine in the metrics of its label."""

    def __init__(self, metrics: _Metrics, label: str, keep: bool) -> None:
        self._metrics, self._label, self._keep = metrics, label, keep
        self._values = dict.fromkeys(_GAUGES, 0)
        self._ended = False
        self.began = time.perf_counter()
        with metrics.lock:
            metrics.users[label] = metrics.users.get(label, 0) + 1
        self._gauges = {name: one.labels(label) for name, one in metrics.gauges.items()}
        self._counters = {name: one.labels(label) for name, one in metrics.counters.items()}
        self._seconds = metrics.seconds.labels(label)

    def set(self, name: str, value: int) -> None:
        """Set this machine's part of a gauge."""
        if value != self._values[name] and not self._ended:
            self._gauges[name].inc(value - self._values[name])
            self._values[name] = value

    def count(self, name: str, more: int) -> None:
        """Add to a counter."""
        self._counters[name].inc(more)

    def transition(self, seconds: float, accepted: bool, auto: bool) -> None:
        """Count a transition."""
        flags = str(accepted).lower(), str(auto).lower()
        self._metrics.transitions.labels(self._label, *flags).inc()
        self._seconds.observe(seconds)

    def end(self) -> None:
        """Take this machine's part away, and with the last one the label."""
        if self._ended:
            return
        for name in _GAUGES:
            self.set(name, 0)
        self._ended = True
        metrics, label = self._metrics, self._label
        with metrics.lock:
            metrics.users[label] -= 1
            if metrics.users[label] or self._keep:
                return
            del metrics.users[label]
            for one in (*metrics.gauges.values(), *metrics.counters.values(), metrics.seconds):
                one.remove(label)
            for accepted in ("true", "false"):
                for auto in ("true", "false"):
                    with contextlib.suppress(KeyError):
                        metrics.transitions.remove(label, accepted, auto)

"""Spans of machines for OpenTelemetry, and extras that are missing."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from machine import Machine, Source
from machine.errors import MissingExtra
from machine.telemetry import OtelTracer, PrometheusTracer

AnyMachine = Machine[Any]


# -- OpenTelemetry -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    """OpenTelemetry, imported for these tests only: other code looks whether it is there."""
    was_there = any(name.startswith("opentelemetry") for name in sys.modules)
    yield SimpleNamespace(
        trace=import_module("opentelemetry.trace"),
        sdk=import_module("opentelemetry.sdk.trace"),
        export=import_module("opentelemetry.sdk.trace.export"),
        memory=import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter"),
    )
    if not was_there:
        for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
            del sys.modules[name]


class Spans:
    """The spans that were exported."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.exporter = api.memory.InMemorySpanExporter()
        self.provider = api.sdk.TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(api.export.SimpleSpanProcessor(self.exporter))

    def tracer(self, **options: Any) -> OtelTracer:
        return OtelTracer(self.provider, **options)

    @property
    def all(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())

    def paths(self) -> list[str]:
        """Each span with its parents, in the order in which they began."""
        by_id = {span.context.span_id: span for span in self.all}

        def path(span: Any) -> str:
            above = by_id.get(span.parent.span_id) if span.parent else None
            return f"{path(above)}/{span.name}" if above else str(span.name)

        return [path(span) for span in sorted(self.all, key=lambda span: span.start_time)]

    def named(self, name: str) -> list[Any]:
        return [span for span in self.all if span.name == name]


@pytest.fixture
def spans(api: Any) -> Spans:
    """The spans of a test."""
    return Spans(api)


def test_the_tree_of_spans(spans: Spans) -> None:
    handlers = {"AEnter": lambda: None, "BState": lambda: None}
    machine: AnyMachine = Machine(
        "A; B* ?A -C; C", id="m", handlers=handlers, tracers=[spans.tracer()]
    )
    machine.add("A")
    machine.dispose()
    assert sorted(spans.paths()) == [
        "0:mach:m",
        "0:mach:m/states",
        "0:mach:m/states/A",
        "0:mach:m/states/A/A",
        "0:mach:m/states/B",
        "0:mach:m/states/B/B",
        "0:mach:m/transitions",
        "0:mach:m/transitions/[add:auto] B",
        "0:mach:m/transitions/[add:auto] B/BState",
        "0:mach:m/transitions/[add] A",
        "0:mach:m/transitions/[add] A/AEnter",
    ]


def test_the_attributes_of_a_transition(spans: Spans) -> None:
    machine: AnyMachine = Machine("A; B -A; C! +D; D", id="m", tags=["kind:door"])
    machine.bind_tracer(spans.tracer(args=["by"], steps=True))
    machine.add("A")
    machine.add("B", args={"by": "kim", "secret": 1}, source=Source("x", "x#3", 7))
    (span,) = spans.named("[add] B")
    assert dict(span.attributes) == {
        "machine.transition": "m#2",
        "machine.mutation": "add",
        "machine.called": ("B",),
        "machine.auto": False,
        "machine.accepted": True,
        "machine.time.before": 1,
        "machine.time.after": 3,
        "machine.diff": "-A +B",
        "machine.args.by": "kim",
        "machine.source.machine": "x",
        "machine.source.transition": "x#3",
        "machine.steps": 4,
    }
    machine.dispose()
    (root,) = spans.named("0:mach:m")
    assert dict(root.attributes) == {"machine.id": "m", "machine.tags": ("kind:door",)}


def test_each_activation_has_a_span(spans: Spans) -> None:
    machine: AnyMachine = Machine("A; B!; C -A", id="m", tracers=[spans.tracer()])

    def seen() -> list[tuple[str, int]]:
        found = [span.attributes for span in spans.all if "machine.state" in span.attributes]
        return [(one["machine.state"], one["machine.tick"]) for one in found]

    machine.add("A", "B")
    assert seen() == []
    machine.add("B")
    assert seen() == [("B", 1)]
    machine.add("C")
    assert seen() == [("B", 1), ("A", 1)]
    machine.dispose()
    assert sorted(seen()) == [("A", 1), ("B", 1), ("B", 3), ("C", 1)]
    (span,) = (one for one in spans.all if one.attributes.get("machine.tick") == 3)
    assert span.attributes["machine.transition"] == "m#2"


def test_states_that_were_active_before_and_imports(spans: Spans) -> None:
    machine: AnyMachine = Machine("A; B", id="m")
    machine.add("A")
    machine.bind_tracer(spans.tracer(transitions=False))
    other: AnyMachine = Machine("A; B", id="m")
    other.add("B")
    machine.import_(other.export())
    machine.add("B")
    assert [span.name for span in spans.all] == ["A"]
    machine.dispose()
    assert "[add] B" not in [span.name for span in spans.all]
    assert len(spans.named("B")) == 2  # the group, and the activation


def test_errors(spans: Spans) -> None:
    def raising() -> None:
        raise ValueError("broken")

    machine: AnyMachine = Machine("A", id="m", handlers={"AState": raising})
    machine.bind_tracer(spans.tracer())
    machine.add("A")
    status = spans.api.trace.StatusCode
    for name in ("AState", "[add] A", "exception"):
        (span,) = spans.named(name)
        assert span.status.status_code is status.ERROR
        assert span.status.description == "ValueError: broken"
        assert [event.name for event in span.events] == ["exception"]
    (span,) = spans.named("[add] A")
    assert span.attributes["machine.accepted"] is False
    (span,) = spans.named("A")  # it was active until the handler failed
    assert span.attributes["machine.tick"] == 1


def test_a_handler_is_the_current_span(spans: Spans) -> None:
    seen: list[Any] = []
    get = spans.api.trace.get_current_span
    tracer = spans.provider.get_tracer("test")
    machine: AnyMachine = Machine("A", id="m", handlers={"AState": lambda: seen.append(get())})
    machine.bind_tracer(spans.tracer())
    with tracer.start_as_current_span("request") as request:
        machine.add("A")
        assert get() is request
    assert seen[0].name == "AState"
    (span,) = spans.named("[add] A")
    assert [link.context.span_id for link in span.links] == [request.get_span_context().span_id]


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"transitions": False}, {"transitions", "[add] A", "[add:auto] B", "AState"}),
        ({"handlers": False}, {"AState"}),
        ({"activations": False}, {"states", "A", "B"}),
        ({"autos": False}, {"[add:auto] B"}),
        ({"states": "A"}, {"B"}),
        ({"states_except": ["A"]}, {"A"}),
    ],
)
def test_what_can_be_left_out(spans: Spans, options: dict[str, Any], missing: set[str]) -> None:
    everything = {"0:mach:m", "states", "transitions", "A", "B", "[add] A", "[add:auto] B"}
    machine: AnyMachine = Machine("A; B* ?A", id="m", handlers={"AState": lambda: None})
    machine.bind_tracer(spans.tracer(**options))
    machine.add("A")
    machine.can_remove("A")
    machine.dispose()
    assert {span.name for span in spans.all} == (everything | {"AState"}) - missing


def test_checks_can_be_seen(spans: Spans) -> None:
    machine: AnyMachine = Machine("A", id="m", tracers=[spans.tracer(checks=True)])
    machine.can_add("A")
    (span,) = spans.named("[add] A")
    assert span.attributes["machine.check"] is True
    assert not spans.named("A")


def test_submachines_are_below_their_parent(spans: Spans) -> None:
    machine: AnyMachine = Machine("A", id="m", tracers=[spans.tracer(activations=False)])
    child: AnyMachine = Machine("A", id="child", parent=machine)
    child.add("A")
    machine.dispose()
    assert sorted(spans.paths()) == [
        "0:mach:m",
        "0:mach:m/submachines",
        "0:mach:m/submachines/1:mach:child",
        "0:mach:m/submachines/1:mach:child/transitions",
        "0:mach:m/submachines/1:mach:child/transitions/[add] A",
    ]


def test_submachines_can_be_left_out(spans: Spans) -> None:
    machine: AnyMachine = Machine("A", tracers=[spans.tracer(children=False)])
    assert Machine("A", parent=machine).tracers == ()


def test_shutdown_ends_the_spans(spans: Spans) -> None:
    tracer = spans.tracer()
    machine: AnyMachine = Machine("A", id="m", tracers=[tracer])
    machine.add("A")
    tracer.shutdown()
    assert spans.named("0:mach:m")
    machine.remove("A")
    machine.dispose()
    assert len(spans.named("0:mach:m")) == 1


def test_spans_of_collected_machines_end(spans: Spans) -> None:
    tracer = spans.tracer()
    machine: AnyMachine = Machine("A", id="gone", tracers=[tracer])
    del machine
    gc.collect()
    Machine("A", id="next", tracers=[tracer])
    assert spans.named("0:mach:gone")


# -- without them ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "tracer", "extra"),
    [("opentelemetry", OtelTracer, "otel"), ("prometheus_client", PrometheusTracer, "prometheus")],
)
def test_an_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, module: str, tracer: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"\[{extra}\]") as caught:
        tracer()
    assert caught.value.extra == extra


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, machine.telemetry;"
        "assert not [n for n in sys.modules if n.startswith(('opentelemetry', 'prometheus'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Traces of machines for OpenTelemetry."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from machine.core.identity import IdentityMap
from machine.core.tracer import Tracer
from machine.errors import MissingExtra
from machine.logs import ArgsMapper
from machine.schema.schema import EXCEPTION
from machine.schema.state import flatten
from machine.texts import error_text

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

    from machine.core.handlers import Handler
    from machine.core.machine import Machine
    from machine.core.transition import Transition

__all__ = ["OtelTracer"]


class OtelTracer(Tracer):
    """A tracer that makes spans of transitions, states and handlers.

    For each machine one trace, or a part of its parent's:

        0:mach:door
            states
                Opened                  one for each state, and below it
                    Opened              one for each time that it was active
            transitions
                [add] Opened            `exception` if it is one
                    OpenedEnter         while it runs it is the current span
            submachines

    May be bound to several machines, in any threads. The spans of a machine
    end when it is disposed, some time after it was collected, or with `shutdown`.

    Args:
        provider: the global one by default.
        transitions: False for no spans of transitions and handlers.
        handlers: False for no spans of handlers.
        activations: False for no spans of states.
        autos: False for no spans of auto transitions.
        checks: spans of `can_add` and `can_remove` too.
        states: only these states have spans; all by default.
        states_except: these have none.
        args: which arguments become attributes, by an `ArgsMapper` or their
            names; none by default, as they may be secret.
        steps: how much relations did, as an attribute. It costs time.
        children: bind this tracer to submachines too, as they are made.

    Raises:
        MissingExtra: the extra `otel` is not installed.
    """

    def __init__(
        self,
        provider: TracerProvider | None = None,
        *,
        transitions: bool = True,
        handlers: bool = True,
        activations: bool = True,
        autos: bool = True,
        checks: bool = False,
        states: str | Iterable[str] = (),
        states_except: str | Iterable[str] = (),
        args: ArgsMapper | Iterable[str] = (),
        steps: bool = False,
        children: bool = True,
    ) -> None:
        try:
            from opentelemetry import context, trace
        except ImportError as error:
            raise MissingExtra("opentelemetry-api", "otel", "traces of machines") from error
        self._api, self._context = trace, context
        self._tracer = trace.get_tracer("machine", tracer_provider=provider)
        self._transitions = transitions
        self._handlers = transitions and handlers
        self._activations = activations
        self._autos, self._checks = autos, checks
        self._only, self._never = frozenset(flatten(states)), frozenset(flatten(states_except))
        self._args = args if isinstance(args, ArgsMapper) else ArgsMapper(args)
        self._steps = steps
        self._children = children
        self._numbers = itertools.count()
        self._gone: deque[_Spans] = deque()
        self._machines: IdentityMap[Machine[Any], _Spans] = IdentityMap()

    def shutdown(self) -> None:
        """End all spans that are open, those of machines that live included."""
        self._sweep()
        for spans in list(self._machines.values()):
            spans.end()
        self._machines.clear()

    # -- machines ------------------------------------------------------------------------

    def machine_init(self, machine: Machine[Any]) -> None:
        """Begin the machine's span, and those of its active states."""
        parent = machine.parent
        above = self._machines.get(parent) if parent is not None else None
        attributes = {"machine.id": machine.id, "machine.tags": machine.tags}
        name = f"{next(self._numbers)}:mach:{machine.id}"
        root = self._span(name, above.group("submachines") if above else None, attributes)
        spans = _Spans(self, root)
        self._machines[machine] = spans
        weakref.finalize(machine, self._gone.append, spans).atexit = False
        self._sweep()
        self._follow(spans, machine.names, machine.current_ticks, "")

    def _sweep(self) -> None:
        """End the spans of machines that were collected; then is no time for exporters."""
        while self._gone:
            self._gone.popleft().end()

    def queue_end(self, machine: Machine[Any]) -> None:
        """A time to look after others."""
        self._sweep()

    def submachine(self, parent: Machine[Any], child: Machine[Any]) -> None:
        """Follow a new submachine."""
        if self._children and self not in child.tracers and not child.disposed:
            child.bind_tracer(self)

    def machine_disposed(self, machine: Machine[Any]) -> None:
        """End the machine's spans."""
        spans = self._machines.pop(machine, None)
        if spans is not None:
            spans.end()

    def _span(
        self,
        name: str,
        parent: Span | None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Any] = (),
    ) -> Span:
        context = self._context.Context()
        if parent is not None:
            context = self._api.set_span_in_context(parent, context)
        return self._tracer.start_span(name, context, attributes=attributes, links=links)

    # -- transitions ---------------------------------------------------------------------

    def transition_init(self, tx: Transition) -> None:
        """Begin the transition's span; it links to the span that is current."""
        spans = self._machines.get(tx.machine)
        if spans is None:
            return
        self._follow(spans, tx.names, tx.ticks_before, "")
        mutation = tx.mutation
        hidden = (mutation.auto and not self._autos) or (mutation.check and not self._checks)
        if not self._transitions or hidden:
            return
        attributes: dict[str, Any] = {
            "machine.transition": tx.id,
            "machine.mutation": mutation.kind.value,
            "machine.called": mutation.called,
            "machine.auto": mutation.auto,
            "machine.time.before": sum(tx.ticks_before),
        }
        if mutation.check:
            attributes["machine.check"] = True
        for name, value in self._args(mutation.values).items():
            attributes[f"machine.args.{name}"] = value
        if mutation.source is not None:
            attributes["machine.source.machine"] = mutation.source.machine
            attributes["machine.source.transition"] = mutation.source.transition
        name = "exception" if EXCEPTION in mutation.called else str(mutation)
        current = self._api.get_current_span().get_span_context()
        links = [self._api.Link(current)] if current.is_valid else []
        spans.transition = self._span(name, spans.group("transitions"), attributes, links)

    def transition_finals(self, tx: Transition) -> None:
        """End and begin the spans of states."""
        self._follow_after(tx)

    def transition_end(self, tx: Transition) -> None:
        """End the transition's span."""
        spans = self._machines.get(tx.machine)
        if spans is None:
            return
        self._follow_after(tx)
        span, spans.transition = spans.transition, None
        if span is None:
            return
        before, ticks = tx.ticks_before, tx.ticks_after
        span.set_attribute("machine.accepted", tx.accepted)
        span.set_attribute("machine.time.after", sum(ticks))
        span.set_attribute("machine.diff", _diff(tx.names, before, ticks))
        if self._steps:
            span.set_attribute("machine.steps", len(tx.steps))
        error: object = tx.error
        if error is None and EXCEPTION in tx.called:
            error = tx.mutation.values.get("error")
        if isinstance(error, BaseException):
            self._failed(span, error)
        span.end()

    def handler_start(self, tx: Transition, handler: Handler) -> None:
        """Begin the handler's span, and make it the current one."""
        spans = self._machines.get(tx.machine)
        if spans is None or spans.transition is None or not self._handlers:
            return
        attributes = {"machine.handler": handler.name, "machine.transition": tx.id}
        span = self._span(handler.name, spans.transition, attributes)
        token = self._context.attach(self._api.set_span_in_context(span))
        spans.handlers.append((span, token))

    def handler_end(self, tx: Transition, handler: Handler, accepted: bool) -> None:
        """End the handler's span."""
        spans = self._machines.get(tx.machine)
        if spans is None or not spans.handlers:
            return
        span, token = spans.handlers.pop()
        self._context.detach(token)
        span.set_attribute("machine.accepted", accepted)
        if tx.error is not None:
            self._failed(span, tx.error)
        span.end()

    def _failed(self, span: Span, error: BaseException) -> None:
        with contextlib.suppress(Exception):  # an error whose text raises has no event of its own
            span.record_exception(error)
        span.set_status(self._api.StatusCode.ERROR, error_text(error))

    # -- states --------------------------------------------------------------------------

    def _follow_after(self, tx: Transition) -> None:
        spans = self._machines.get(tx.machine)
        if spans is not None and not tx.mutation.check:
            self._follow(spans, tx.names, tx.ticks_after, tx.id)

    def _follow(
        self, spans: _Spans, names: Sequence[str], ticks: Sequence[int], transition: str
    ) -> None:
        """End and begin the spans of states whose ticks are others than before."""
        if not self._activations or ticks is spans.ticks:
            return
        before, spans.ticks = spans.active, ticks
        now = {name: tick for name, tick in zip(names, ticks, strict=False) if tick % 2}
        for name in [name for name, (tick, _) in before.items() if now.get(name) != tick]:
            before.pop(name)[1].end()
        for name, tick in now.items():
            wanted = name not in self._never and (not self._only or name in self._only)
            if wanted and name not in before:
                before[name] = (tick, self._activation(spans, name, tick, transition))

    def _activation(self, spans: _Spans, name: str, tick: int, transition: str) -> Span:
        attributes: dict[str, Any] = {"machine.state": name, "machine.tick": tick}
        if transition:
            attributes["machine.transition"] = transition
        return self._span(name, spans.group("states", name), attributes)


class _Spans:
    """The open spans of one machine."""

    def __init__(self, tracer: OtelTracer, root: Span) -> None:
        self._tracer = tracer
        self._root = root
        self._groups: dict[tuple[str, ...], Span] = {}
        self.active: dict[str, tuple[int, Span]] = {}
        self.ticks: Sequence[int] | None = None
        self.transition: Span | None = None
        self.handlers: list[tuple[Span, Any]] = []

    def group(self, *path: str) -> Span:
        """A span that only holds others."""
        span = self._groups.get(path)
        if span is None:
            parent = self.group(*path[:-1]) if len(path) > 1 else self._root
            span = self._groups[path] = self._tracer._span(path[-1], parent)
        return span

    def end(self) -> None:
        """End all of them, the inner ones first."""
        for _, span in self.active.values():
            span.end()
        if self.transition is not None:
            self.transition.end()
        for span in reversed(self._groups.values()):
            span.end()
        if self._root.is_recording():
            self._root.end()
        self.active, self._groups, self.transition = {}, {}, None


def _diff(names: Sequence[str], before: Sequence[int], after: Sequence[int]) -> str:
    changed = [at for at in range(len(after)) if after[at] != before[at]]
    return " ".join(f"{'+' if after[at] % 2 else '-'}{names[at]}" for at in changed)

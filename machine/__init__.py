"""Relational state machines: many active states, logical clocks, asyncio that behaves."""

from __future__ import annotations

from machine.compatibility import register as _register
from machine.core.handlers import Binding, Handler, on
from machine.core.machine import Machine
from machine.core.mutation import Mutation, Source
from machine.core.options import Options
from machine.core.snapshot import Snapshot
from machine.core.tracer import Tracer
from machine.core.transition import Event, Transition
from machine.core.triggers import trigger
from machine.errors import (
    HandlerTimeout,
    ImportMismatch,
    InvalidArgument,
    InvalidHandler,
    MachineDisposed,
    MachineError,
    MutationLoop,
    NoEventLoop,
    SchemaError,
    StateTimeout,
    UnknownState,
    WaitTimeout,
)
from machine.rules.kinds import Kind
from machine.schema.retries import Retries
from machine.schema.schema import EXCEPTION, Schema, State
from machine.schema.states import StateName, States, group, state
from machine.times import Time
from machine.waits.contexts import StateContext
from machine.waits.result import Result
from machine.waits.wait import Wait

_register()

__all__ = [
    "EXCEPTION",
    "Binding",
    "Event",
    "Handler",
    "HandlerTimeout",
    "ImportMismatch",
    "InvalidArgument",
    "InvalidHandler",
    "Kind",
    "Machine",
    "MachineDisposed",
    "MachineError",
    "Mutation",
    "MutationLoop",
    "NoEventLoop",
    "Options",
    "Result",
    "Retries",
    "Schema",
    "SchemaError",
    "Snapshot",
    "Source",
    "State",
    "StateContext",
    "StateName",
    "StateTimeout",
    "States",
    "Time",
    "Tracer",
    "Transition",
    "UnknownState",
    "Wait",
    "WaitTimeout",
    "group",
    "on",
    "state",
    "trigger",
]

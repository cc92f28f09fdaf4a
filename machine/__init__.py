"""Relational state machines: many active states, logical clocks, asyncio that behaves."""

from __future__ import annotations

from machine._life import Snapshot
from machine.binding import Binding
from machine.contexts import StateContext
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
    UnknownState,
    WaitTimeout,
)
from machine.handlers import Handler, on
from machine.kinds import Kind
from machine.machine import Machine
from machine.mutation import Event, Mutation, Source
from machine.options import Options
from machine.result import Result
from machine.schema import EXCEPTION, Schema, State
from machine.states import StateName, States, group, state
from machine.times import Time
from machine.tracer import Tracer
from machine.transition import Transition
from machine.waits import Wait

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
    "Schema",
    "SchemaError",
    "Snapshot",
    "Source",
    "State",
    "StateContext",
    "StateName",
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
]

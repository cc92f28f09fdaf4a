"""`transitions`: its Machine and its AsyncMachine."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from bench.machines import ASYNC, NONE, RING, TOGGLE, TWO, Drive, LoopDrive, repeated

__all__ = ["awaiting", "crowd", "many", "mutating"]


def _states(shape: str) -> tuple[str, ...]:
    return RING[:2] if shape == TOGGLE else RING


def _machine(kind: str, states: tuple[str, ...], model: object) -> Any:
    """Of one model, or with None of as many as will be added."""
    module = {
        "Machine": "transitions",
        "AsyncMachine": "transitions.extensions.asyncio",
    }[kind]
    steps = [["step", states[at - 1], state] for at, state in enumerate(states)]
    make = getattr(importlib.import_module(module), kind)
    return make(model, states=list(states), transitions=steps, initial=states[0])


def _model(handlers: str, states: tuple[str, ...]) -> Any:
    """An object with the methods that it calls."""

    def nothing(self: object) -> None: ...

    async def at_once(self: Any) -> None:
        self.done += 1

    async def later(self: Any) -> None:
        await asyncio.sleep(0)
        self.done += 1

    methods: dict[str, Any] = {"done": 0}
    for state in states if handlers != NONE else ():
        if handlers == TWO:
            methods[f"on_exit_{state}"] = methods[f"on_enter_{state}"] = nothing
        else:
            methods[f"on_enter_{state}"] = at_once if handlers == ASYNC else later
    return type("Model", (), methods)()


def mutating(shape: str, handlers: str) -> Drive:
    """Steps of a Machine."""
    states = _states(shape)
    model = _model(handlers, states)
    _machine("Machine", states, model)
    return repeated(model.step)


def awaiting(shape: str, handlers: str) -> LoopDrive:
    """Steps of an AsyncMachine."""
    states = _states(shape)
    model = _model(handlers, states)
    _machine("AsyncMachine", states, model)

    async def drive(count: int) -> None:
        step = model.step
        for _ in range(count):
            await step()

    return drive


def many(shape: str, handlers: str, machines: int) -> LoopDrive:
    """Steps of many AsyncMachines at once."""
    states = _states(shape)
    models = [_model(handlers, states) for _ in range(machines)]
    for model in models:
        _machine("AsyncMachine", states, model)

    async def drive(count: int) -> None:
        for _ in range(count // machines):
            await asyncio.gather(*[model.step() for model in models])

    return drive


def crowd() -> tuple[Any, Any]:
    """Functions that make one more model of one Machine and that move a model."""
    machine = _machine("Machine", RING, None)
    kind = type(_model(NONE, RING))

    def make() -> Any:
        model = kind()
        machine.add_model(model)
        return model

    return make, lambda model: model.step()

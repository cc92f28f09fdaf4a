"""Final states, and waits for any end."""

import asyncio
import gc
import pickle
import threading
from typing import Any

import pytest

from machine import InvalidArgument, Machine, MachineDisposed, MachineError, Schema, State, Wait

TEXT = "Working^ -Done,Failed; Done$ -Working,Failed; Failed$ -Working,Done"


def opened(machine: Machine) -> Wait:
    wait = machine.when_final()
    assert not wait.done
    assert not machine.is_final
    return wait


@pytest.mark.parametrize("end", ["Done", "Failed"])
async def test_any_final_state_ends_the_wait(end: str) -> None:
    machine = Machine(TEXT)
    wait = opened(machine)
    machine.add(end)
    await asyncio.wait_for(wait, 5)
    assert machine.is_final
    await asyncio.wait_for(machine.when_final(), 5)  # it is so already


async def test_an_unforeseen_error_ends_the_wait() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("gone")

    machine = Machine(TEXT, handlers={"WorkingState": fails})
    wait = opened(machine)
    machine.start_work()
    with pytest.raises(OSError, match="gone"):
        await asyncio.wait_for(wait, 5)
    with pytest.raises(OSError, match="gone"):
        await asyncio.wait_for(machine.when_final(), 5)
    machine.remove("Exception")
    wait = opened(machine)
    machine.add("Done")
    await asyncio.wait_for(wait, 5)


def test_an_error_of_a_handler_ends_the_wait_of_a_thread() -> None:
    def raises() -> None:
        raise ValueError("no")

    machine = Machine("A; Done$", handlers={"AState": raises})
    wait = opened(machine)
    thread = threading.Thread(target=machine.add, args=("A",))
    thread.start()
    with pytest.raises(ValueError, match="no"):
        wait.wait(5)
    thread.join()


@pytest.mark.parametrize(
    "schema",
    [
        "Failed$* ?Exception; Done$",
        {"Failed": State(final=True), "Exception": State(multi=True, add="Failed")},
    ],
)
async def test_an_error_that_leads_to_a_final_state_is_an_end(schema: Any) -> None:
    machine = Machine(schema)
    wait = opened(machine)
    machine.add_err(OSError())
    await asyncio.wait_for(wait, 5)
    assert machine.is_("Failed", "Exception")


async def test_a_handler_may_answer_the_error() -> None:
    class Job(Machine, schema="Failed$; Working^"):
        def ExceptionState(self) -> None:
            self.add("Failed")

    job = Job()
    wait = opened(job)
    job.add_err(OSError())
    await asyncio.wait_for(wait, 5)


async def test_an_error_that_a_handler_takes_back_ends_nothing() -> None:
    class Forgiving(Machine, schema="Done$"):
        def ExceptionState(self) -> None:
            self.remove("Exception")

    machine = Forgiving()
    wait = opened(machine)
    machine.add_err(OSError())
    assert not wait.done
    machine.add("Done")
    await asyncio.wait_for(wait, 5)


async def test_add_err_state_with_a_final_state() -> None:
    machine = Machine(TEXT)
    wait = opened(machine)
    machine.add_err_state("Failed", OSError())
    await asyncio.wait_for(wait, 5)


async def test_exception_without_an_error_says_so() -> None:
    machine = Machine(TEXT)
    wait = opened(machine)
    machine.add("Exception")
    with pytest.raises(MachineError, match="not known here"):
        await asyncio.wait_for(wait, 5)


async def test_the_end_of_the_machine_ends_the_wait() -> None:
    machine = Machine(TEXT)
    wait = opened(machine)
    machine.dispose()
    with pytest.raises(MachineDisposed):
        await asyncio.wait_for(wait, 5)
    with pytest.raises(MachineDisposed):
        await asyncio.wait_for(machine.when_final(), 5)


def test_a_schema_without_final_states_is_told() -> None:
    machine = Machine("A")
    assert not machine.is_final
    with pytest.raises(InvalidArgument, match="no state is final"):
        machine.when_final()


async def test_a_larger_schema_and_an_import_end_open_waits() -> None:
    machine = Machine("A; Done$", id="one")
    wait = opened(machine)
    machine.set_schema("Failed$; A; Done$")
    machine.add("Failed")
    await asyncio.wait_for(wait, 5)
    source, target = Machine("Done$", id="two"), Machine("Done$", id="two")
    source.add_err(OSError())
    wait = opened(target)
    target.import_(source.export())
    with pytest.raises(MachineError):
        await asyncio.wait_for(wait, 5)


def test_a_dropped_wait_leaves_nothing() -> None:
    machine = Machine(TEXT)
    machine.when_final()
    gc.collect()
    waits = machine._m_open_waits
    assert waits is not None
    assert len(waits) == 0
    assert not waits._failing


def test_every_form_of_a_schema_has_them() -> None:
    schema = Schema.parse("A^$*!; B$; C")
    assert schema == Schema(
        {
            "A": State(initial=True, final=True, auto=True, multi=True),
            "B": State(final=True),
            "C": State(),
        }
    )
    assert Schema.parse(str(schema)) == schema
    assert Schema.from_json(schema.to_json()) == schema
    assert pickle.loads(pickle.dumps(schema["B"])) == State(final=True)
    assert "    |Final    true\n" in Machine(schema).inspect("B")
    with pytest.raises(InvalidArgument, match="final is True or False"):
        State(final=1)  # type: ignore[arg-type]

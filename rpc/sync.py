"""Remote machines for code that blocks: scripts, notebooks and web frameworks.

    with grid.sync.Client("shop") as client, rpc.sync.Client(client, "lights") as remote:
        lights = remote.machine
        lights.add("Green")
        lights.when("Red").wait(timeout=60)

The event loop is that of the blocking clients of the grid, in a thread of its own; any thread
may call. Functions that are handed over (`getters`, `on_payload`) run on that loop, and must
not block it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self

import rpc.machines.client
import rpc.machines.remote_machine
from grid.errors import InvalidArgument
from grid.sync import Client as GridClient
from machine.core.view import Names
from machine.schema.schema import Schema
from machine.times import Time
from machine.waits.result import Result
from machine.waits.wait import Wait
from rpc.machines.payloads import Payload, Progress
from rpc.machines.remote_calls import From

if TYPE_CHECKING:
    # The questions and waits of the async machine, which `__getattr__` hands on.
    from machine.core.when import When as Questions
else:

    class Questions:
        """The names of questions and waits, for type checkers; nothing at run time."""


__all__ = ["Client", "RemoteMachine"]

if TYPE_CHECKING:  # a variable with a default, which the library has from Python 3.13 on
    from typing_extensions import TypeVar

    S = TypeVar("S", default=Any)
else:
    from typing import TypeVar

    S = TypeVar("S")
T = TypeVar("T")


class RemoteMachine(Questions, Generic[S]):
    """A remote machine whose mutations block; see `rpc.RemoteMachine`.

    Questions are answered from the mirror, in the calling thread. Waits are those of machines:
    `machine.when("Red").wait(timeout)`.
    """

    def __init__(
        self, client: GridClient, machine: rpc.machines.remote_machine.RemoteMachine[S]
    ) -> None:
        self._grid = client
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._machine, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._machine)})

    def __repr__(self) -> str:
        return f"<sync {self._machine!r}>"

    def __str__(self) -> str:
        return str(self._machine)

    @property
    def connected(self) -> bool:
        """True while the mirror follows its source; False: what it shows may be old."""
        return self._machine.connected

    def add(
        self, *states: Names, args: object = None, source: From = None, timeout: float | None = None
    ) -> Result:
        """Activate states at the source; see `rpc.RemoteMachine.add`."""
        return self._done(
            lambda: self._machine.add(*states, args=args, source=source, timeout=timeout)
        )

    def remove(
        self, *states: Names, args: object = None, source: From = None, timeout: float | None = None
    ) -> Result:
        """Deactivate states at the source; as `add`."""
        return self._done(
            lambda: self._machine.remove(*states, args=args, source=source, timeout=timeout)
        )

    def set(
        self, *states: Names, args: object = None, source: From = None, timeout: float | None = None
    ) -> Result:
        """Activate these states at the source and deactivate all others; as `add`."""
        return self._done(
            lambda: self._machine.set(*states, args=args, source=source, timeout=timeout)
        )

    def toggle(
        self, *states: Names, args: object = None, source: From = None, timeout: float | None = None
    ) -> Result:
        """Remove these states if all are active here, else add them; as `add`."""
        return self._done(
            lambda: self._machine.toggle(*states, args=args, source=source, timeout=timeout)
        )

    def add_err(
        self,
        error: BaseException,
        *,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """Make an error the machine's; as `add`."""
        return self._done(
            lambda: self._machine.add_err(error, args=args, source=source, timeout=timeout)
        )

    def add_err_state(
        self,
        state: str,
        error: BaseException,
        *,
        args: object = None,
        source: From = None,
        timeout: float | None = None,
    ) -> Result:
        """As `add_err`, and activate a state for this kind of error as well."""
        call = self._machine.add_err_state
        return self._done(lambda: call(state, error, args=args, source=source, timeout=timeout))

    def add_ns(self, *states: Names, args: object = None, source: From = None) -> None:
        """As `add`, without a result; see `rpc.RemoteMachine.add_ns`."""
        self._done(lambda: self._machine.add_ns(*states, args=args, source=source))

    def remove_ns(self, *states: Names, args: object = None, source: From = None) -> None:
        """As `remove`, without a result."""
        self._done(lambda: self._machine.remove_ns(*states, args=args, source=source))

    def set_ns(self, *states: Names, args: object = None, source: From = None) -> None:
        """As `set`, without a result."""
        self._done(lambda: self._machine.set_ns(*states, args=args, source=source))

    def sync(self, timeout: float | None = None) -> Time:
        """Bring the mirror up to date; its time."""
        return self._done(lambda: self._machine.sync(timeout))

    def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function that the source offers."""
        return self._done(lambda: self._machine.get(name, timeout=timeout, **args))

    def log(self, text: str) -> None:
        """Write a line into the log of the source."""
        self._done(lambda: self._machine.log(text))

    def when_args(self, state: str, args: Any) -> Wait:
        """A state begins at the source with arguments that have all of these among them."""

        async def asked() -> Wait:
            return self._machine.when_args(state, args)

        return self._done(asked)

    def _done(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._grid.run(lambda _: call())


class Client(Generic[S]):
    """A blocking client of one machine; arguments and errors are those of `rpc.Client`.

    Args:
        client: of the grid; it stays open when this one closes.
        name: under which the machine is served.
        states: the `States` class or schema of the machine, if it is known here.
        options: as of `rpc.Client`.
    """

    def __init__(
        self,
        client: GridClient,
        name: str,
        *,
        states: type[S] | Schema | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(client, GridClient):
            raise InvalidArgument("client", client, "a grid.sync.Client")
        self._grid = client
        self.name = name

        async def make(inner: Any) -> rpc.machines.client.Client[S]:
            return rpc.machines.client.Client(inner, name, states=states, **options)

        self._client = client.run(make)

    def __repr__(self) -> str:
        return f"<sync {self._client!r}>"

    @property
    def machine(self) -> RemoteMachine[S]:
        """The remote machine. Raises as `rpc.Client.machine` does."""
        return RemoteMachine(self._grid, self._client.machine)

    @property
    def connected(self) -> bool:
        """True while the mirror follows its source."""
        return self._client.connected

    def start(self, timeout: float | None = None) -> None:
        """Connect; the mirror is up to date when this returns. As `rpc.Client.start`."""
        self._grid.run(lambda _: self._client.start(timeout))

    def close(self) -> None:
        """Disconnect, and end what waits on the mirror; the source goes on."""
        self._grid.run(lambda _: self._client.close())

    def get(self, name: str, /, *, timeout: float | None = None, **args: Any) -> Any:
        """Call a function of the source; as `rpc.Client.get`."""
        return self._grid.run(lambda _: self._client.get(name, timeout=timeout, **args))

    def set_interval(self, interval: float) -> None:
        """Change the seconds between pushes; as `rpc.Client.set_interval`."""
        self._grid.run(lambda _: self._client.set_interval(interval))

    def send_payload(
        self, payload: Payload, on_progress: Callable[[Progress], object] | None = None
    ) -> None:
        """Send a payload to the source, in pieces; as `rpc.Client.send_payload`."""
        self._grid.run(lambda _: self._client.send_payload(payload, on_progress))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

"""Who is bound to a machine: groups of handlers, and tracers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from machine.core.base import Core, binding
from machine.core.binding import Binding
from machine.core.handlers import Handler, from_class, from_functions, placed_anew
from machine.core.plans import Shape
from machine.core.tracer import GuardedTracer, Tracer
from machine.errors import InvalidArgument, InvalidHandler

__all__ = ["Binder"]

_numbers = itertools.count(1)


class Binder(Core):
    """Handlers and tracers come and go."""

    __slots__ = ()

    # -- handlers ------------------------------------------------------------------------

    def bind(
        self,
        handlers: object,
        *,
        id: str | None = None,  # noqa: A002 - the word of the design
        prefix: str = "",
    ) -> Binding:
        """Call handlers from the next transition on, after those that are bound already.

        If no handlers were bound and Exception is active, the error is added
        again, so that it is seen.

        Args:
            handlers: an object with methods (see `machine.handlers`), or a
                mapping of handler names to functions.
            id: unique among the bindings of this machine; made up if missing.
            prefix: only methods that begin with it, which is no part of the
                handler's name.

        Raises:
            InvalidHandler: a name fits no state, or a function cannot be a handler.
            InvalidArgument: the object is bound already, the id is taken, or
                there is no handler in it.
        """
        if any(one.owner is handlers for one in self._bindings if one.owner is not None):
            raise InvalidArgument("these handlers are bound already", machine=self.id)
        name = id if id is not None else f"handlers-{next(_numbers)}"
        if any(one.id == name for one in self._bindings):
            raise InvalidArgument(f"a binding {name!r} is there already", machine=self.id)
        found, owner, key = self._read(handlers, prefix)
        if not found:
            raise InvalidHandler(
                f"{type(handlers).__name__} has no handlers",
                machine=self.id,
                hint="Handlers are called FooState and so on, or have a decorator of machine.on.",
            )
        made = Binding(self._self, name, owner, found, key)
        with binding:
            first = not self._bindings
            self._set_bindings((*self._bindings, made))
        self._note("ops", f"[handlers] bind {name}")
        if first and self._err is not None and "Exception" in self._config.active:
            self._self.add_err(self._err)
        return made

    def detach(self, handlers: Binding | str) -> None:
        """Call a group of handlers no more.

        Args:
            handlers: what `bind` gave, or its id.

        Raises:
            InvalidArgument: it is not bound.
        """
        name = handlers if isinstance(handlers, str) else handlers.id
        with binding:
            rest = tuple(one for one in self._bindings if one.id != name)
            if len(rest) == len(self._bindings):
                raise InvalidArgument(f"no handlers {name!r} are bound", machine=self.id)
            self._set_bindings(rest)
        self._note("ops", f"[handlers] detach {name}")

    @property
    def handlers(self) -> tuple[Binding, ...]:
        """The groups of handlers in the order in which they are called."""
        return self._bindings

    def _bind_own(self) -> None:
        """The methods of a subclass are its first group."""
        found, owner, key = self._read(self, "")
        if found:
            self._set_bindings((Binding(self._self, type(self).__name__, owner, found, key),))

    def _read(self, handlers: object, prefix: str) -> tuple[list[Handler], object, object]:
        compiled = self._compiled
        if isinstance(handlers, Mapping):
            functions = {
                k.removeprefix(prefix): f for k, f in handlers.items() if k.startswith(prefix)
            }
            return from_functions(compiled, functions, self.id), None, object()
        key = (type(handlers), prefix)
        found = compiled.groups.get(key)
        if found is None:
            found = compiled.groups[key] = from_class(compiled, type(handlers), prefix, self.id)
        return found, handlers, key

    def _set_bindings(self, bindings: tuple[Binding, ...]) -> None:
        key = tuple(one._key for one in bindings)
        shape: Shape | None = None
        if bindings:
            shapes = self._compiled.shapes
            shape = shapes.get(key)
            if shape is None:
                shape = Shape([one.handlers for one in bindings])
                if all(one.owner is not None for one in bindings):
                    shapes[key] = shape  # shared by all machines with such owners
        owners = tuple(one.owner for one in bindings)
        self._bound = None if shape is None else (shape, owners)
        self._bindings = bindings
        self._plain = False

    def _rebind(self) -> None:
        """The schema has changed: read all handlers again."""
        bindings = []
        for old in self._bindings:
            if old.owner is None:
                found = placed_anew(self._compiled, old.handlers, self.id)
                bindings.append(Binding(self._self, old.id, None, found, object()))
            else:
                prefix = old._key[1] if isinstance(old._key, tuple) else ""
                found, owner, key = self._read(old.owner, prefix)
                bindings.append(Binding(self._self, old.id, owner, found, key))
        self._set_bindings(tuple(bindings))

    # -- tracers -------------------------------------------------------------------------

    def bind_tracer(self, tracer: Tracer) -> None:
        """Tell a tracer of everything from now on.

        Raises:
            InvalidArgument: it is no `Tracer`, or is bound already.
        """
        if any(one.tracer is tracer for one in self._tracers):
            raise InvalidArgument("this tracer is bound already", machine=self.id)
        guarded = GuardedTracer(tracer)
        with binding:
            self._tracers = (*self._tracers, guarded)
        self._plain = False
        guarded.machine_init(self._self)

    def detach_tracer(self, tracer: Tracer) -> None:
        """Tell a tracer nothing more.

        Raises:
            InvalidArgument: it is not bound.
        """
        with binding:
            rest = tuple(one for one in self._tracers if one.tracer is not tracer)
            if len(rest) == len(self._tracers):
                raise InvalidArgument("this tracer is not bound", machine=self.id)
            self._tracers = rest
        self._plain = False

    @property
    def tracers(self) -> tuple[Tracer, ...]:
        """Who looks on."""
        return tuple(one.tracer for one in self._tracers)

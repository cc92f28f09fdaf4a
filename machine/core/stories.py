"""The causal story of a state, as a method of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.core.base import Core

if TYPE_CHECKING:
    from machine.story import Story

__all__ = ["Stories"]


class Stories(Core):
    """Why a state is what it is."""

    __slots__ = ()

    def story(self, state: str = "") -> Story:
        """What led to the current tick of a state; from any thread.

        With a `machine.story.StoryTracer` bound: which mutations, asked for by
        which line of the program or in which handler, back to the first cause.
        Without one: what is known anyway, and how to learn more.

        Args:
            state: "" for the story of the last error.

        Returns:
            Something to print, or to look into.

        Raises:
            UnknownState: it is not in the schema.
        """
        from machine import story as telling

        if state:
            self._names((state,))
        for one in self._tracers:
            tracer = one.tracer
            if isinstance(tracer, telling.StoryTracer):
                if state:
                    return tracer.story(self._self, state)
                return tracer.error_story(self._self)
        return telling.known_story(self._self, state)

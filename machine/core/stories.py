"""The causal story of a state, as a method of machines."""

from __future__ import annotations

from machine.core.base import Core
from machine.core.story import Story, StorySource, known_story

__all__ = ["Stories"]


class Stories(Core):
    """The stories of a machine's states."""

    __slots__ = ()

    def story(self, state: str = "") -> Story:
        """The causes of the current tick of a state; from any thread.

        With a `machine.story.StoryTracer` bound: the mutations, with the lines
        of the program or the handlers that asked for them, back to the first
        cause. Without one: the little that the machine knows, and a hint.

        Args:
            state: "" for the story of the last error.

        Returns:
            The story, to print or to walk through.

        Raises:
            UnknownState: it is not in the schema.
        """
        if state:
            self._names((state,))
        for one in self._tracers:
            source = one.tracer
            if isinstance(source, StorySource):
                return source.story(self._self, state) if state else source.error_story(self._self)
        return known_story(self._self, state)

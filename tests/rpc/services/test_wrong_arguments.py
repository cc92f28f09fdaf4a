"""Arguments of the wrong kind are refused where they are given."""

from __future__ import annotations

from typing import Any

import pytest

from grid.errors import InvalidArgument
from rpc.services import LocalBus, SelectionOptions
from tests.rpc.services.greeting_grid import GreeterClient
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Hall, local_hall


@pytest.mark.parametrize("topic", [None, 5, "\udcff", b"bytes"])
async def test_a_topic_is_a_text_that_can_be_sent(topic: Any) -> None:
    async with local_hall() as the_hall:
        server = await the_hall.serve("a")
        client = await the_hall.client()
        for call in (server.register_regional_topic, lambda one: client.regional(one, Hello())):
            with pytest.raises(InvalidArgument, match="topic must be a text"):
                await call(topic)


@pytest.mark.parametrize(
    "options",
    [
        {"minimum": "x"},
        {"maximum": None},
        {"affinity_timeout": -1},
        {"short_circuit": "x"},
        {"choose": 5},
    ],
)
def test_options_of_a_choice(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InvalidArgument, match=f"{name} must be"):
        SelectionOptions(**options)


async def test_none_is_no_request_and_a_number_no_interceptor(the_hall: Hall) -> None:
    await the_hall.serve("a")
    nothing: Any = None
    client = await the_hall.client()
    with pytest.raises(InvalidArgument, match="the request of Greet must be a Hello, not None"):
        await client.greet(nothing)
    with pytest.raises(InvalidArgument, match="the request of All must be a Hello, not None"):
        await client.all(nothing)
    wrong: Any = 5
    with pytest.raises(InvalidArgument, match="interceptors must be"):
        GreeterClient(LocalBus(), interceptors=wrong)
    with pytest.raises(InvalidArgument, match="observers must be"):
        GreeterClient(LocalBus(), observers=wrong)

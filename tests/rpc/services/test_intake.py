"""The tasks that read a mailbox: they outlive callers that leave."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.message import Message

from grid.mailbox.request import Request
from rpc.services import LocalBus
from rpc.services.intake import Intake
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import SOON


async def test_a_caller_that_leaves_at_the_last_moment_harms_no_other() -> None:
    """The cancellation has not arrived when the request is served to its end."""
    bus = LocalBus()
    mailbox = await bus.open_inbox("a", {}, size=10)
    calls: list[asyncio.Future[Message]] = []
    counts: list[int] = []

    async def serve(request: Request[Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        counts.append(task.cancelling())
        if request.message.text == "leaves":
            calls[-1].cancel()  # and the handler does not wait for anything any more
            counts.append(task.cancelling())
        else:
            request.respond(Hello(text="served"))

    intake = Intake(mailbox, serve, limit=1, lost=lambda _: None)
    for text, expected in (("stays", [0]), ("leaves", [0, 1]), ("stays", [0])):
        counts.clear()
        calls.append(bus.send("a", Hello(text=text), SOON))
        await asyncio.wait(calls, timeout=SOON)
        assert counts == expected
        assert calls[-1].cancelled() is (text == "leaves")
    (task,) = intake._tasks
    assert task.cancelling() == 0
    await intake.kill()
    await bus.close()

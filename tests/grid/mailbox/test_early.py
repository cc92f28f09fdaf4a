"""Deliveries that come while a name is being claimed wait for it, in bounded number."""

import asyncio

import pytest

import grid
from grid.errors import ReceiverBusy, UnknownMailbox
from grid.mailbox import Mailbox
from grid.mailbox.dispatcher import Dispatcher
from grid.transport.answer import FutureAnswer, Reply

SIZE = 4


class Lease:
    """A lease that holds."""

    valid = True


async def _release(_: Mailbox) -> None:
    pass


@pytest.fixture
async def dispatcher() -> Dispatcher:
    made = Dispatcher(grid.Codec())
    made.open("127.0.0.1:1", "p", Lease())
    return made


def _mailbox() -> Mailbox:
    return Mailbox("m", "n.mailbox.m", SIZE, codec=grid.Codec(), limit=100, release=_release)


def _deliver(dispatcher: Dispatcher) -> asyncio.Future[Reply]:
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    dispatcher.accept("n.mailbox.m", 0, "grid.EchoMsg", b"", None, FutureAnswer(future))
    return future


async def test_as_many_wait_as_the_mailbox_holds(dispatcher: Dispatcher) -> None:
    mailbox = _mailbox()
    async with dispatcher.opening(mailbox):
        came = [_deliver(dispatcher) for _ in range(1000)]
        for one in came[SIZE:]:
            with pytest.raises(ReceiverBusy, match="'m' holds 4 requests"):
                await one
        mailbox.epoch = 7
    for one in came[:SIZE]:
        (await anext(mailbox)).ack()
        assert (await one)[0].endswith("Ack")
    dispatcher.close()


async def test_those_that_wait_are_refused_if_the_name_was_not_got(dispatcher: Dispatcher) -> None:
    async with dispatcher.opening(_mailbox()):  # which gets no epoch
        came = [_deliver(dispatcher) for _ in range(SIZE)]
    for one in came:
        with pytest.raises(UnknownMailbox):
            await one
    dispatcher.close()

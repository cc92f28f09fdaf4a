"""A mailbox is bounded, keeps order, and leaves no request without an answer."""

import asyncio
import gc
import threading

import pytest
from google.protobuf.message import Message

from grid.codec import Codec
from grid.errors import (
    AlreadyResponded,
    LeaseLost,
    MailboxClosed,
    MessageTooLarge,
    ReceiverBusy,
    RequestDropped,
    RequestFailed,
    UnknownActor,
    UnsupportedMessage,
)
from grid.mailbox import Mailbox, Request
from grid.transport.answer import FutureAnswer, Reply
from grid.wire_pb2 import Ack, EchoMsg

GO = "github.com/lytics/grid/v3/"


async def _nothing(_: Mailbox) -> None:
    return


def make(size: int = 4, limit: int = 1 << 20) -> Mailbox:
    return Mailbox("m", "ns.mailbox.m", size, codec=Codec(), limit=limit, release=_nothing)


def put(
    mailbox: Mailbox, text: str = "hi", type_name: str = "grid.EchoMsg"
) -> asyncio.Future[Reply]:
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    mailbox._put(EchoMsg(msg=text), type_name, {}, FutureAnswer(answer))
    return answer


async def take(mailbox: Mailbox) -> Request[Message]:
    request = await mailbox.receive()
    assert request is not None
    return request


async def test_each_reader_of_a_mailbox_that_lost_its_name_has_an_error_of_its_own() -> None:
    mailbox = make()
    reading = [asyncio.create_task(mailbox.receive()) for _ in range(2)]
    await asyncio.sleep(0)
    error = LeaseLost("gone")
    mailbox._lose(error)
    raised = await asyncio.gather(*reading, mailbox.receive(), return_exceptions=True)
    assert [str(one) for one in raised] == [str(error)] * 3
    assert len({id(one) for one in (error, *raised)}) == 4
    assert error.__traceback__ is None


async def test_requests_come_out_in_the_order_they_went_in() -> None:
    mailbox = make(3)
    answers = [put(mailbox, text) for text in "abc"]
    mailbox._drain()
    seen = []
    async for request in mailbox:
        assert isinstance(request.message, EchoMsg)
        seen.append(request.message.msg)
        request.respond(request.message)
    assert seen == ["a", "b", "c"]
    assert [await answer for answer in answers] == [
        ("grid.EchoMsg", EchoMsg(msg=text).SerializeToString()) for text in "abc"
    ]


async def test_a_full_mailbox_refuses() -> None:
    mailbox = make(2)
    kept = [put(mailbox), put(mailbox)]
    with pytest.raises(ReceiverBusy, match="grid: receiver busy") as caught:
        put(mailbox)
    assert caught.value.size == 2
    assert caught.value.retryable
    (await take(mailbox)).ack()
    kept.append(put(mailbox))
    assert len(mailbox) == 2


async def test_a_mailbox_without_room_takes_what_somebody_waits_for() -> None:
    mailbox = make(0)
    with pytest.raises(ReceiverBusy):
        put(mailbox)
    reader = asyncio.create_task(mailbox.receive())
    await asyncio.sleep(0)
    put(mailbox, "for the reader")
    with pytest.raises(ReceiverBusy):
        put(mailbox)
    request = await reader
    assert request is not None
    request.ack()


async def test_two_readers_share_what_comes() -> None:
    mailbox = make(0)
    readers = [asyncio.create_task(take(mailbox)) for _ in range(2)]
    await asyncio.sleep(0)
    answers = [put(mailbox, "a"), put(mailbox, "b")]
    requests = await asyncio.gather(*readers)
    for request in requests:
        request.respond(request.message)
    assert len({(await answer)[1] for answer in answers}) == 2


async def test_a_cancelled_reader_leaves_the_request_to_the_next() -> None:
    mailbox = make(1)
    first = asyncio.create_task(mailbox.receive())
    second = asyncio.create_task(take(mailbox))
    await asyncio.sleep(0)
    answer = put(mailbox)
    first.cancel()
    (await asyncio.wait_for(second, 10)).ack()
    assert await answer == (GO + "Ack", b"") or await answer == ("grid.Ack", b"")
    assert first.cancelled()


async def test_the_second_answer_is_refused_and_the_first_stands() -> None:
    mailbox = make()
    answer = put(mailbox)
    request = await take(mailbox)
    request.respond(EchoMsg(msg="first"))
    for again in (request.ack, lambda: request.respond(EchoMsg()), lambda: request.fail("no")):
        with pytest.raises(AlreadyResponded, match="already responded"):
            again()
    assert (await answer)[1] == EchoMsg(msg="first").SerializeToString()


async def test_an_answer_that_cannot_be_sent_leaves_the_request_open() -> None:
    mailbox = make(limit=100)
    answer = put(mailbox)
    request = await take(mailbox)
    with pytest.raises(UnsupportedMessage):
        request.respond("text")  # type: ignore[arg-type]
    with pytest.raises(MessageTooLarge):
        request.respond(EchoMsg(msg="x" * 101))
    assert not request.done
    request.ack()
    assert (await answer)[0] == "grid.Ack"


async def test_a_go_request_is_answered_in_go_names() -> None:
    mailbox = make()
    answer = put(mailbox, type_name=GO + "EchoMsg")
    (await take(mailbox)).ack()
    assert await answer == (GO + "Ack", b"")


@pytest.mark.parametrize(
    ("given", "text"),
    [("out of stock", "out of stock"), (ValueError("bad"), "bad"), (KeyError(), "KeyError")],
)
async def test_fail_reaches_the_caller_as_a_failure(given: str | Exception, text: str) -> None:
    mailbox = make()
    answer = put(mailbox)
    (await take(mailbox)).fail(given, code="FAILED_PRECONDITION")
    with pytest.raises(RequestFailed, match=text) as caught:
        await answer
    assert caught.value.code == "FAILED_PRECONDITION"


async def test_fail_makes_an_error_of_the_grid_the_cause() -> None:
    mailbox = make()
    answer = put(mailbox)
    (await take(mailbox)).fail(UnknownActor("bob"))
    with pytest.raises(RequestFailed, match="grid: unknown actor: 'bob'") as caught:
        await answer
    assert isinstance(caught.value.cause, UnknownActor)
    assert (caught.value.cause.name, caught.value.code) == ("bob", "NOT_FOUND")


async def test_closing_answers_what_is_left() -> None:
    mailbox = make()
    read, queued = put(mailbox), put(mailbox)
    request = await take(mailbox)
    await mailbox.close()
    with pytest.raises(RequestDropped) as dropped:
        await read
    with pytest.raises(MailboxClosed) as closed:
        await queued
    assert not dropped.value.retryable
    assert closed.value.retryable
    assert request.done
    assert await mailbox.receive() is None
    with pytest.raises(MailboxClosed):
        put(mailbox)
    await mailbox.close()


async def test_a_request_that_is_let_go_fails_at_once() -> None:
    mailbox = make()
    answer = put(mailbox)
    request = await take(mailbox)
    del request
    gc.collect()
    with pytest.raises(RequestDropped):
        await asyncio.wait_for(answer, 10)


async def test_a_request_may_be_let_go_in_another_thread() -> None:
    mailbox = make()
    answer = put(mailbox)
    held = [await take(mailbox)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    with pytest.raises(RequestDropped):
        await asyncio.wait_for(answer, 10)


async def test_draining_ends_the_iteration_after_what_is_queued() -> None:
    mailbox = make()
    answer = put(mailbox)
    mailbox._drain()
    with pytest.raises(MailboxClosed):
        put(mailbox)
    async for request in mailbox:
        request.ack()
    assert (await answer)[0]


async def test_draining_wakes_who_waits() -> None:
    mailbox = make()
    readers = [asyncio.create_task(mailbox.receive()) for _ in range(3)]
    await asyncio.sleep(0)
    mailbox._drain()
    assert await asyncio.gather(*readers) == [None, None, None]


async def test_a_lost_lease_is_raised_to_the_owner() -> None:
    mailbox = make()
    reader = asyncio.create_task(mailbox.receive())
    await asyncio.sleep(0)
    mailbox._lose(LeaseLost("gone"))
    with pytest.raises(LeaseLost):
        await reader
    with pytest.raises(LeaseLost):
        await mailbox.receive()


async def test_answering_a_caller_that_left_goes_nowhere() -> None:
    mailbox = make()
    answer = FutureAnswer(asyncio.get_running_loop().create_future())
    mailbox._put(EchoMsg(), "grid.EchoMsg", {}, answer)
    request = await take(mailbox)
    answer.cancel()
    assert request.done
    assert request.cancelled
    request.respond(EchoMsg())
    request.fail("late")


async def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        make(-1)


async def test_what_it_looks_like() -> None:
    mailbox = make(2)
    mailbox.epoch = 7
    answer = put(mailbox)
    assert repr(mailbox) == "<Mailbox 'm' 1/2 open epoch=7>"
    request = await take(mailbox)
    assert repr(request) == "<Request grid.EchoMsg to 'm' open>"
    request.respond(Ack())
    assert repr(request) == "<Request grid.EchoMsg to 'm' answered>"
    await mailbox.close()
    assert repr(mailbox) == "<Mailbox 'm' 0/2 closed epoch=7>"
    await answer


async def test_a_request_nobody_waits_for_is_not_handed_out() -> None:
    mailbox = make()
    left = FutureAnswer(asyncio.get_running_loop().create_future())
    mailbox._put(EchoMsg(msg="left"), "grid.EchoMsg", {}, left)
    waited_for = put(mailbox, "waited for")
    left.cancel()
    request = await take(mailbox)
    assert request.message == EchoMsg(msg="waited for")
    request.ack()
    await waited_for


async def test_all_who_wait_hear_that_the_caller_left() -> None:
    mailbox = make()
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    answer = FutureAnswer(future)
    mailbox._put(EchoMsg(), "grid.EchoMsg", {}, answer)
    request = await take(mailbox)
    waiting = [asyncio.create_task(request.until_cancelled()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    answer.cancel()
    assert await asyncio.gather(*waiting) == [True, True]
    assert request.cancelled
    assert await request.until_cancelled()


async def test_who_waits_for_the_caller_to_leave_ends_with_the_answer() -> None:
    mailbox = make()
    answer = put(mailbox)
    request = await take(mailbox)
    waiting = asyncio.create_task(request.until_cancelled())
    await asyncio.sleep(0)
    await asyncio.to_thread(request.ack)
    assert await waiting is False
    assert await request.until_cancelled() is False
    assert (await answer)[0].endswith("Ack")


async def test_waiting_for_the_caller_to_leave_does_not_keep_the_request() -> None:
    mailbox = make()
    answer = put(mailbox)
    waiting = asyncio.create_task((await take(mailbox)).until_cancelled())
    assert await waiting is False
    with pytest.raises(RequestDropped):
        await answer


class _Work:
    def __init__(self) -> None:
        self.abandoned_times = 0

    def abandoned(self) -> None:
        self.abandoned_times += 1


async def test_the_owner_of_a_request_hears_once_that_its_caller_left() -> None:
    mailbox = make()
    answer = FutureAnswer(asyncio.get_running_loop().create_future())
    mailbox._put(EchoMsg(), "grid.EchoMsg", {}, answer)
    request, work, late = await take(mailbox), _Work(), _Work()
    request.served_by(work)
    assert work.abandoned_times == 0
    answer.cancel()
    answer.cancel()
    assert work.abandoned_times == 1
    request.served_by(late)
    assert late.abandoned_times == 1
    answered = put(mailbox)
    request, work = await take(mailbox), _Work()
    request.served_by(work)
    request.ack()
    await answered
    assert work.abandoned_times == 0

"""The best server, all servers, groups of topics, subscriptions and streams, on each bus."""

from __future__ import annotations

import asyncio

import pytest

from grid.errors import InvalidArgument
from grid.testing import wait_until
from rpc.services import (
    AllDeclined,
    AlreadyServed,
    CallTimedOut,
    ErrorCode,
    MemberResult,
    NoServers,
    SelectionOptions,
    ServiceError,
    StreamEnded,
    SubscriptionLost,
    Updates,
)
from tests.rpc.services.greeting_grid import GreeterClient, GreeterRegion, GreeterRoom
from tests.rpc.services.greeting_pb2 import Hello, Outer
from tests.rpc.services.kit import SOON, Hall

EU, ROOM = GreeterRegion("eu"), GreeterRoom("1")


async def taken(updates: Updates[Hello], count: int) -> list[str]:
    """The texts of the next messages."""
    async with asyncio.timeout(SOON):
        return [(await anext(updates)).text for _ in range(count)]


# -- the best server ---------------------------------------------------------------------


async def test_the_server_with_the_highest_score_is_called(the_hall: Hall) -> None:
    for name, affinity in (("a", 0.5), ("b", 0.75), ("c", 0.25), ("d", -1.0)):
        await the_hall.serve(name, affinity)
    client = await the_hall.patient_client()
    began = asyncio.get_running_loop().time()
    assert [(await client.pick(Hello(text="hi"))).server for _ in range(3)] == ["b"] * 3
    if the_hall.knows_members:  # all have answered, so nothing is waited for
        assert asyncio.get_running_loop().time() - began < SOON / 2
    assert the_hall.calls("bid") == {"a": 3, "b": 3, "c": 3, "d": 3}
    assert the_hall.calls("Pick") == {"b": 3}


async def test_options_choose_otherwise(the_hall: Hall) -> None:
    for name, affinity in (("a", 0.5), ("b", 0.75)):
        await the_hall.serve(name, affinity)
    client = await the_hall.client()
    lowest = SelectionOptions(
        affinity_timeout=1.5,
        choose=lambda bids: min(bids, key=lambda bid: bid.score).member,
    )
    assert (await client.pick(Hello(), selection=lowest)).server == "a"
    high = SelectionOptions(minimum=0.9, affinity_timeout=1.5)
    with pytest.raises(AllDeclined, match=r"2 .*servers answered") as raised:
        await client.pick(Hello(), selection=high)
    assert set(raised.value.members) == {"a", "b"}


async def test_without_a_willing_server_the_error_says_why(the_hall: Hall) -> None:
    client = await the_hall.client()
    with pytest.raises(NoServers):
        await client.pick(Hello(), timeout=0.8)
    await the_hall.serve("a", -1.0)
    with pytest.raises(AllDeclined if the_hall.knows_members else NoServers):
        await client.pick(Hello(), timeout=5.0)
    if the_hall.knows_members:
        with pytest.raises(CallTimedOut) as raised:
            await client.pick(Hello(text="wait:"), timeout=2.0)
        assert raised.value.members == ("a",)
        the_hall.greeters["a"].release.set()


async def test_servers_that_do_not_bid_in_time_are_not_unreachable(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    await the_hall.serve("a")
    client = await the_hall.client()
    calls = (client.pick(Hello(text="wait:"), timeout=0.05 + i / 1000) for i in range(100))
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, CallTimedOut)
        assert outcome.members in ((), ("a",))  # the time may be over before any is asked
    the_hall.greeters["a"].release.set()


# -- all servers ---------------------------------------------------------------------------


async def test_all_servers_answer_and_the_call_ends_with_the_last(the_hall: Hall) -> None:
    for name in ("a", "b", "c"):
        await the_hall.serve(name)
    client = await the_hall.client()
    began = asyncio.get_running_loop().time()
    outcomes = await client.all(Hello(text="hi"), timeout=the_hall.multi_timeout)
    assert {one.member: one.result().server for one in outcomes} == {n: n for n in "abc"}
    if the_hall.knows_members:
        assert asyncio.get_running_loop().time() - began < 5
    failed = [
        outcome
        async for outcome in client.all(Hello(text="fail:aborted"), timeout=the_hall.multi_timeout)
    ]
    assert [one.error.code if one.error else None for one in failed] == [ErrorCode.ABORTED] * 3
    with pytest.raises(ServiceError, match="as asked"):
        failed[0].result()


async def test_a_server_that_does_not_answer_is_an_outcome(the_hall: Hall) -> None:
    the_hall.needs_a_directory()
    client = await the_hall.client()
    with pytest.raises(NoServers):
        await client.all(Hello())
    leaving = await the_hall.serve("a")
    await the_hall.serve("b")
    the_hall.greeters["b"].release.set()

    async def both() -> bool:
        return len(await client.all(Hello(), timeout=SOON)) == 2

    await wait_until(both, "both to be found", timeout=SOON)
    outcomes = await client.all(Hello(text="wait:"), timeout=1)
    by_member = {one.member: one for one in outcomes}
    assert by_member["b"].result().server == "b"
    assert isinstance(by_member["a"].error, CallTimedOut)
    before = the_hall.calls("All")["a"]
    waiting = asyncio.create_task(_all(client, Hello(text="wait:")))
    await wait_until(lambda: the_hall.calls("All")["a"] > before, "a to be asked", timeout=SOON)
    await leaving.kill()
    async with asyncio.timeout(SOON):
        ended = await waiting
    assert len(ended) == 2
    assert sorted(one.error is None for one in ended) == [False, True]


async def _all(client: GreeterClient, hello: Hello) -> list[MemberResult[Hello]]:
    return await client.all(hello, timeout=60)


async def test_a_group_of_topics_is_registered_whole_or_not_at_all(the_hall: Hall) -> None:
    server = await the_hall.serve("a")
    client = await the_hall.client()
    await server.register_in_room_topic(EU, ROOM)
    with pytest.raises(AlreadyServed):
        await server.register_all_rooms_topics(EU, ROOM)
    if the_hall.knows_members:
        with pytest.raises(NoServers):
            await client.each_in_room(EU, ROOM, Hello())
    await server.deregister_in_room_topic(EU, ROOM)
    await server.register_all_rooms_topics(EU, ROOM)
    assert list((await client.in_room(EU, ROOM, Hello())).topic) == ["eu", "1"]
    (outcome,) = await client.each_in_room(EU, ROOM, Hello(), timeout=the_hall.multi_timeout)
    assert outcome.member == "a"
    await server.deregister_all_rooms_topics(EU, ROOM)
    with pytest.raises(NoServers):
        await client.in_room(EU, ROOM, Hello(), timeout=0.8)


# -- subscriptions -----------------------------------------------------------------------------


async def test_news_reach_all_subscribers_and_jobs_one(the_hall: Hall) -> None:
    server = await the_hall.serve("a")
    one, two = await the_hall.client(), await the_hall.client()
    async with (
        one.subscribe_news() as first,
        two.subscribe_news() as second,
        one.subscribe_jobs() as mine,
        two.subscribe_jobs() as yours,
        two.subscribe_regional_news("eu/west 🚀") as regional,
        two.subscribe_regional_news("us") as other,
    ):
        for text in ("1", "2"):
            await server.publish_news(Hello(text=text))
        assert await taken(first, 2) == await taken(second, 2) == ["1", "2"]
        await server.publish_regional_news("eu/west 🚀", Hello(text="here"))
        await server.publish_regional_news("us", Hello(text="there"))
        assert await taken(regional, 1) == ["here"]
        assert await taken(other, 1) == ["there"]
        got: list[str] = []

        async def read(jobs: Updates[Hello]) -> None:
            async for job in jobs:
                got.append(job.text)  # noqa: PERF401 - looked at while it grows

        readers = [asyncio.create_task(read(jobs)) for jobs in (mine, yours)]
        for _ in range(10):
            await server.publish_jobs(Hello(text="same"))
        await wait_until(lambda: len(got) >= 10, "ten equal jobs", timeout=SOON)
        await asyncio.sleep(0.1)
        assert got == ["same"] * 10
        await mine.close()
        await yours.close()
        await asyncio.gather(*readers)
    with pytest.raises(InvalidArgument, match="News"):
        await server.publish_news(Outer.Inner())  # type: ignore[arg-type]


async def test_servers_that_come_and_go_leave_subscriptions_whole(the_hall: Hall) -> None:
    client = await the_hall.client()
    async with client.subscribe_news() as news:
        first = await the_hall.serve("a")
        await first.publish_news(Hello(text="1"))
        assert await taken(news, 1) == ["1"]
        second = await the_hall.serve("b")
        await first.kill()
        await second.publish_news(Hello(text="2"))
        assert await taken(news, 1) == ["2"]


async def test_a_subscriber_that_does_not_read_is_told_so(the_hall: Hall) -> None:
    server = await the_hall.serve("a")
    client = await the_hall.client()
    async with client.subscribe_news(size=3) as slow, client.subscribe_news() as quick:
        for i in range(10):
            await server.publish_news(Hello(text=str(i)))
        assert await taken(quick, 10) == [str(i) for i in range(10)]
        assert await taken(slow, 3) == ["0", "1", "2"]
        with pytest.raises(SubscriptionLost):
            await anext(slow)


# -- streams -------------------------------------------------------------------------------------


async def test_a_stream_goes_both_ways_and_ends_for_both(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk(timeout=SOON) as stream:
        assert stream.member in ("a", "")
        for text in ("one", "two", "three"):
            await stream.send(Hello(text=text))
            answer = await stream.receive()
            assert answer is not None
            assert (answer.text, answer.server) == (text.upper(), "a")
        with pytest.raises(InvalidArgument):
            await stream.send(Outer.Inner())  # type: ignore[arg-type]
    with pytest.raises(StreamEnded):
        await stream.send(Hello())


async def test_a_thousand_messages_keep_their_order(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk(timeout=60) as stream:

        async def send() -> None:
            for i in range(1000):
                await stream.send(Hello(text=str(i)))

        sending = asyncio.create_task(send())
        async with asyncio.timeout(60):
            got = [(await anext(stream)).text for _ in range(1000)]
        await sending
    assert got == [str(i) for i in range(1000)]


async def test_an_error_ends_a_stream_with_its_code(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()
    async with client.talk(timeout=SOON) as stream:
        await stream.send(Hello(text="fail:not_found"))
        with pytest.raises(ServiceError, match="as asked") as raised:
            async with asyncio.timeout(SOON):
                await anext(stream)
        assert raised.value.code is ErrorCode.NOT_FOUND


async def test_streams_go_to_the_best_server_and_end_with_it(the_hall: Hall) -> None:
    with_none = await the_hall.client()
    with pytest.raises(NoServers):
        await with_none.talk(timeout=0.8)
    best = await the_hall.serve("b", 0.75)  # first, so that the other is not found without it
    await the_hall.serve("a", 0.5)
    client = await the_hall.patient_client()
    async with client.talk_to_the_best(timeout=SOON) as stream:
        await stream.send(Hello(text="hi"))
        assert (await anext(stream)).server == "b"
        ending = asyncio.create_task(best.shutdown(timeout=0.0))
        with pytest.raises(ServiceError):
            async with asyncio.timeout(SOON):
                await anext(stream)
        await ending


# -- together ------------------------------------------------------------------------------------


async def test_two_answers_and_an_error_of_three_servers(the_hall: Hall) -> None:
    for name in ("a", "b", "c"):
        await the_hall.serve(name)

    async def fails(*_: object) -> Hello:
        the_hall.greeters["c"].calls["All"] += 1
        raise ServiceError("aborted", "the third one fails")

    await the_hall.serve("d", interceptors=[fails])
    client = await the_hall.client()
    outcomes = await client.all(Hello(text="hi"), timeout=the_hall.multi_timeout)
    by_member = {one.member: one for one in outcomes}
    assert len(outcomes) == 4
    assert [by_member[name].result().text for name in "abc"] == ["HI"] * 3
    error = by_member["d"].error
    assert error is not None
    assert (error.code, error.text) == (ErrorCode.ABORTED, "the third one fails")


async def test_both_clients_of_a_topic_get_its_messages(the_hall: Hall) -> None:
    server = await the_hall.serve("a")
    one, two = await the_hall.client(), await the_hall.client()
    async with (
        one.subscribe_regional_news("eu") as first,
        two.subscribe_regional_news("eu") as other,
    ):
        await server.publish_regional_news("eu", Hello(text="1"))
        assert await taken(first, 1) == await taken(other, 1) == ["1"]


async def test_the_handler_of_a_stream_ends_when_its_client_closes(the_hall: Hall) -> None:
    ended = asyncio.Event()

    async def note(stream: object, _: object, proceed: object) -> None:
        await proceed(stream)  # type: ignore[operator]
        ended.set()

    await the_hall.serve("a", stream_interceptors=[note])
    client = await the_hall.client()
    async with client.talk(timeout=SOON) as stream:
        for _ in range(3):
            await stream.send(Hello(text="ping"))
            assert (await anext(stream)).text == "PING"
        assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), SOON)


async def test_a_send_that_waits_ends_with_the_close_of_the_other_side(the_hall: Hall) -> None:
    enough = asyncio.Event()

    async def deaf(*_: object) -> None:
        await enough.wait()

    await the_hall.serve("a", stream_interceptors=[deaf])
    client = await the_hall.client()
    async with client.talk(timeout=SOON) as stream:

        async def fill() -> None:
            while True:
                await stream.send(Hello(text="x" * 10_000))

        filling = asyncio.create_task(fill())
        done, _ = await asyncio.wait([filling], timeout=0.3)
        assert not done, "a side that does not read holds up the other"
        enough.set()
        with pytest.raises(StreamEnded):
            await asyncio.wait_for(filling, SOON)


async def test_streams_are_closed_while_messages_come(the_hall: Hall) -> None:
    await the_hall.serve("a")
    client = await the_hall.client()

    async def one(number: int) -> None:
        async with client.talk(timeout=SOON) as stream:
            sending = asyncio.create_task(stream.send(Hello(text=str(number))))
            await asyncio.sleep(0)
            await stream.close()
            await asyncio.gather(sending, return_exceptions=True)

    await asyncio.gather(*(one(number) for number in range(50)))
    async with client.talk(timeout=SOON) as stream:
        await stream.send(Hello(text="after"))
        assert (await anext(stream)).text == "AFTER"

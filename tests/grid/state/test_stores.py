"""The conformance suite on each store, and stores that are down, closed or given wrongly."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from grid.embedded import Etcd
from grid.errors import (
    EtcdRequestTooLarge,
    InvalidArgument,
    MessageTooLarge,
    StateFenced,
    StateTooLarge,
    StoreUnavailable,
)
from grid.state import EtcdStore, PostgresStore, RedisStore, SqliteStore, Store
from grid.state.conformance import StoreConformance
from grid.testing import FaultProxy
from tests.grid.state.postgres_server import PostgresServer, postgres_server
from tests.grid.state.store_kit import StorePlace, forget
from tests.rpc.brokers import Broker, broker

KEY = "n.state.account.kim"


class TestStores(StoreConformance):
    @pytest_asyncio.fixture(autouse=True)
    async def _place(self, store_place: StorePlace, grid_etcd: Etcd) -> AsyncIterator[None]:
        self.place = store_place
        yield
        await forget(grid_etcd, "conformance.")

    def opened(self) -> AbstractAsyncContextManager[tuple[Store, Store]]:
        return self.place.two()


async def test_stores_that_are_not_open_say_so(tmp_path: Path, grid_etcd: Etcd) -> None:
    url = "127.0.0.1:1"
    for store in (
        SqliteStore(tmp_path / "a.db"),
        EtcdStore(grid_etcd.endpoint),
        RedisStore(f"redis://{url}"),
        PostgresStore(f"postgresql://{url}/shop"),
    ):
        with pytest.raises(StoreUnavailable, match="not open"):
            await store.load(KEY, 1)
    async with EtcdStore(grid_etcd.endpoint, largest=3) as small:
        with pytest.raises(StateTooLarge, match=r"4 bytes, the limit is 3; .*largest") as refused:
            await small.save(KEY, 1, b"four")
    assert isinstance(refused.value, MessageTooLarge)


async def test_etcd_takes_a_state_as_large_as_the_store_allows(grid_etcd: Etcd) -> None:
    states = [bytes([letter]) * 1024 * 1024 for letter in b"abc"]
    async with EtcdStore(grid_etcd.endpoint) as store:
        await store.save(KEY, 1, states[0])
        assert await store.load(KEY, 2) == states[0]
        await store.save(KEY, 2, states[1])
        assert await store.load(KEY, 2) == states[1]
        with pytest.raises(StateFenced):
            await store.save(KEY, 1, states[2])
        assert await store.load(KEY, 2) == states[1]
    await forget(grid_etcd, KEY)


# etcd itself refuses the first one, and the gRPC beneath it the second.
@pytest.mark.parametrize("size", [1_600_000, 2_200_000])
async def test_a_state_that_etcd_does_not_take_is_told_as_too_large(
    grid_etcd: Etcd, size: int
) -> None:
    async with EtcdStore(grid_etcd.endpoint, largest=size) as store:
        await store.save(KEY, 1, b"before")
        for key in (KEY, f"{KEY}-new"):
            with pytest.raises(StateTooLarge, match=r"1\.5 MiB, unless --max-request") as told:
                await store.save(key, 1, bytes(size))
            assert not told.value.retryable
            assert (told.value.size, told.value.limit) == (size, 0)
            assert isinstance(told.value.__cause__, EtcdRequestTooLarge)
        assert await store.load(KEY, 1) == b"before"
    await forget(grid_etcd, KEY)


async def test_of_the_first_saves_of_a_key_in_etcd_the_newest_owner_has_the_last_word(
    grid_etcd: Etcd,
) -> None:
    async with EtcdStore(grid_etcd.endpoint) as one, EtcdStore(grid_etcd.endpoint) as other:
        for number in range(10):
            key = f"{KEY}-{number}"
            results = await asyncio.gather(
                one.save(key, 1, b"old"), other.save(key, 2, b"new"), return_exceptions=True
            )
            assert results[1] is None
            assert results[0] is None or isinstance(results[0], StateFenced)
            assert await other.load(key, 2) == b"new"
    await forget(grid_etcd, KEY)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SqliteStore("/no/folder.db"), "SQLite, /no/folder.db: "),
        (lambda: RedisStore("redis://:secret@127.0.0.1:1/2"), "Redis, 127.0.0.1:1/2: "),
        (
            lambda: PostgresStore("postgresql://kim:secret@127.0.0.1:1/shop"),
            "PostgreSQL, 127.0.0.1:1/shop actor_state: ",
        ),
    ],
)
async def test_a_store_that_cannot_be_opened_says_where_and_no_password(
    make: Callable[[], Store], text: str
) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        async with make():
            pass
    assert str(raised.value).startswith(f"store: {text}")
    assert "secret" not in f"{raised.value}{make()!r}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: SqliteStore(7),  # type: ignore[arg-type]
        lambda: SqliteStore("a.db", timeout=-1),
        lambda: EtcdStore(largest=0),
        lambda: RedisStore(7),  # type: ignore[arg-type]
        lambda: RedisStore("127.0.0.1:6379"),
        lambda: RedisStore(Redis(decode_responses=True)),
        lambda: RedisStore(timeout=0),
        lambda: PostgresStore(None),
        lambda: PostgresStore("127.0.0.1"),
        lambda: PostgresStore("postgresql://a", table="x; DROP TABLE y"),
        lambda: PostgresStore("postgresql://a", connections=0),
        lambda: PostgresStore("postgresql://a", timeout=float("nan")),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_given(make: Callable[[], Store]) -> None:
    with pytest.raises(InvalidArgument):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RedisStore("http://u:hunter2@a:1"),
        lambda: RedisStore(Redis.from_url("redis://:hunter2@a", decode_responses=True)),
        lambda: PostgresStore("mysql://u:hunter2@a"),
        lambda: PostgresStore("host=a password=hunter2 user=u"),
    ],
)
def test_wrong_arguments_are_named_without_passwords(make: Callable[[], Store]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert "hunter2" not in f"{caught.value}{caught.value!r}{caught.value.value}"


@asynccontextmanager
async def _server(kind: str, folder: Path) -> AsyncIterator[tuple[Broker | PostgresServer, str]]:
    if kind == "redis":
        with broker("redis", folder) as redis:
            yield redis, redis.url
    else:
        with postgres_server() as postgres:
            yield postgres, postgres.url


def _store(url: str, timeout: float = 10.0) -> Store:
    make = RedisStore if url.startswith("redis") else PostgresStore
    return make(url, timeout=timeout)


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_a_server_that_goes_and_comes_back_is_told(kind: str, tmp_path: Path) -> None:
    async with _server(kind, tmp_path) as (server, url), _store(url) as store:
        await asyncio.gather(*(store.save(f"{KEY}-{turn}", 5, b"before") for turn in range(8)))
        server.stop()
        for refused in (store.load(KEY, 5), store.save(KEY, 5, b"x"), store.delete(KEY, 5)):
            with pytest.raises(StoreUnavailable):
                await refused
        server.start()
        await store.save(KEY, 6, b"after")
        assert await store.load(KEY, 6) == b"after"


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_a_server_that_does_not_answer_is_given_up(
    kind: str, redis_server: Broker, sql_server: PostgresServer
) -> None:
    server = redis_server if kind == "redis" else sql_server
    async with FaultProxy(f"127.0.0.1:{server.port}") as proxy:
        url = server.url.replace(f"127.0.0.1:{server.port}", proxy.endpoint)
        async with _store(url, timeout=0.3) as store:
            await store.save(KEY, 1, b"1")
            proxy.blackhole()
            with pytest.raises(StoreUnavailable, match=r"no answer within 0\.3 s"):
                await store.save(KEY, 1, b"2")
            proxy.heal()
            await store.save(KEY, 1, b"3")
            assert await store.load(KEY, 1) == b"3"
            await store.delete(KEY, 1)


@pytest.mark.parametrize("kind", ["redis", "postgres"])
async def test_a_cancelled_call_does_no_harm_to_the_next_one(
    kind: str, redis_server: Broker, sql_server: PostgresServer
) -> None:
    key = f"{KEY}-cancelled"
    async with _store((redis_server if kind == "redis" else sql_server).url) as store:
        await store.save(key, 1, b"0")
        for turn in range(1, 9):
            cancelled = asyncio.ensure_future(store.save(key, 1, b"late"))
            for _ in range(turn):  # at each of its steps
                await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
            await store.save(key, 1, b"%d" % turn)
            assert await store.load(key, 1) == b"%d" % turn


async def test_a_client_of_redis_that_is_given_stays_open(redis_server: Broker) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        async with RedisStore(redis, prefix="shop:") as store:
            await store.save(KEY, 1, b"1")
        assert await redis.exists(f"shop:{KEY}")
        await redis.script_flush()  # as a server that was restarted has none
        async with RedisStore(redis, prefix="shop:") as store:
            assert await store.load(KEY, 1) == b"1"
        await redis.delete(f"shop:{KEY}")


async def test_a_pool_of_postgres_that_is_given_stays_open(sql_server: PostgresServer) -> None:
    async with asyncpg.create_pool(sql_server.url, min_size=1, max_size=2) as pool:
        await pool.execute("CREATE SCHEMA shop")
        stores = [PostgresStore(pool, table="shop.states") for _ in range(2)]
        async with stores[0], stores[1]:  # the second one finds the table
            await stores[0].save(KEY, 1, b"1")
            assert await stores[1].load(KEY, 1) == b"1"
        assert await pool.fetchval("SELECT count(*) FROM shop.states") == 1
        await pool.execute("DROP SCHEMA shop CASCADE")


async def test_many_peers_make_the_table_at_once(sql_server: PostgresServer) -> None:
    async def use(table: str, turn: int) -> bytes | None:
        async with PostgresStore(sql_server.url, table=table, connections=1) as store:
            await store.save(f"{KEY}-{turn}", 1, b"%d" % turn)
            return await store.load(f"{KEY}-{turn}", 1)

    for table in (f"at_once_{number}" for number in range(20)):
        using = (use(table, turn) for turn in range(8))
        assert await asyncio.gather(*using) == [b"%d" % turn for turn in range(8)]
    async with PostgresStore(sql_server.url, table=table) as store:
        with pytest.raises(StateFenced):
            await store.save(f"{KEY}-0", 0, b"")


async def test_a_type_in_the_way_of_the_table_is_told(sql_server: PostgresServer) -> None:
    async with asyncpg.create_pool(sql_server.url) as pool:
        await pool.execute("CREATE TYPE in_the_way AS ENUM ('a')")
    store = PostgresStore(sql_server.url, table="in_the_way", timeout=1)
    with pytest.raises(StoreUnavailable, match=r"in_the_way.* already exists"):
        await store.__aenter__()


async def test_stores_that_open_one_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    for number in range(60):
        stores = [SqliteStore(tmp_path / f"states-{number}") for _ in range(4)]
        await asyncio.gather(*(one.__aenter__() for one in stores))
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in stores))

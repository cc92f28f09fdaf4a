"""The tests that a store has to pass; derive a class of your tests from `StoreConformance`.

    class TestMyStore(StoreConformance):
        @asynccontextmanager
        async def opened(self):
            async with MyStore("place") as one, MyStore("place") as other:
                yield one, other

The two stores stand for two peers with one set of states. pytest-asyncio runs the tests. Their
keys begin with `conformance.` and are different for each test.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager

from grid.errors import StateFenced
from grid.state.store import Store

__all__ = ["StoreConformance"]

_LARGE = 200_000  # bytes
_TURNS = 60


class StoreConformance:
    """Tests of the contract of `Store`."""

    def opened(self) -> AbstractAsyncContextManager[tuple[Store, Store]]:
        """Two stores that share their states, closed in the end."""
        raise NotImplementedError

    async def test_a_state_lasts(self) -> None:
        """Bytes come back as they were saved, by either store, and no key has another's."""
        key = _key()
        async with self.opened() as (one, other):
            _same(await one.load(key, 5), None)
            await one.save(key, 5, b"first")
            await one.save(key, 5, b"\x00\xffsecond")
            _same(await other.load(key, 5), b"\x00\xffsecond")
            _same(await other.load(key, 9), b"\x00\xffsecond")
            _same(await other.load(f"{key}-2", 1), None)
            await other.save(key, 9, b"")
            _same(await one.load(key, 9), b"")
            large = random.Random(1).randbytes(_LARGE)
            await one.save(key, 9, large)
            _same(await other.load(key, 9), large)

    async def test_a_load_refuses_older_owners_from_then_on(self) -> None:
        """An owner that was frozen can neither load, save nor delete after its successor's load."""
        key = _key()
        async with self.opened() as (frozen, successor):
            await frozen.load(key, 99)
            await frozen.save(key, 99, b"of 99")
            _same(await successor.load(key, 100), b"of 99")
            await _refused(frozen.save(key, 99, b"late"))
            await _refused(frozen.load(key, 99))
            await _refused(frozen.delete(key, 99))
            await _refused(frozen.save(key, 1, b"later"))
            await successor.save(key, 100, b"of 100")
            _same(await successor.load(key, 100), b"of 100")

    async def test_a_load_of_nothing_refuses_older_owners(self) -> None:
        """The fence needs no state."""
        key = _key()
        async with self.opened() as (frozen, successor):
            _same(await successor.load(key, 8), None)
            await _refused(frozen.save(key, 7, b"late"))
            _same(await successor.load(key, 8), None)

    async def test_a_save_refuses_older_owners_without_a_load(self) -> None:
        """A save alone fences, too."""
        key = _key()
        async with self.opened() as (one, other):
            await one.save(key, 10, b"new")
            await _refused(other.save(key, 9, b"old"))
            _same(await one.load(key, 10), b"new")

    async def test_a_deleted_state_is_gone_and_its_fence_is_not(self) -> None:
        """A delete forgets the bytes, and refuses older owners as a save does."""
        key = _key()
        async with self.opened() as (one, other):
            await one.save(key, 3, b"x")
            await one.delete(key, 4)
            await one.delete(key, 4)
            _same(await other.load(key, 4), None)
            await _refused(other.save(key, 3, b"back"))
            await one.save(key, 4, b"again")
            _same(await other.load(key, 4), b"again")

    async def test_epochs_are_compared_as_numbers(self) -> None:
        """They have up to 63 bits: more than a float holds, and more digits than the last."""
        key = _key()
        async with self.opened() as (one, other):
            for epoch in (9, 10, 2**53, 2**53 + 1, 2**63 - 1):
                await one.save(key, epoch, str(epoch).encode())
                await _refused(other.save(key, epoch - 1, b"old"))
                _same(await other.load(key, epoch), str(epoch).encode())

    async def test_one_of_many_owners_wins(self) -> None:
        """Whatever the order in which they come, the last epoch's save stays."""
        key = _key()
        async with self.opened() as stores:
            epochs = list(range(1, 21))
            random.Random(2).shuffle(epochs)
            saves = [stores[one % 2].save(key, one, b"%d" % one) for one in epochs]
            ends = await asyncio.gather(*saves, return_exceptions=True)
            wrong = [one for one in ends if not (one is None or isinstance(one, StateFenced))]
            _same(wrong, [])
            _same(await stores[0].load(key, 20), b"20")

    async def test_the_last_of_an_owners_saves_stays(self) -> None:
        """Saves that are under way together take effect in the order in which they began."""
        key = _key()
        async with self.opened() as (one, other):
            await asyncio.gather(*(one.save(key, 7, b"%d" % turn) for turn in range(20)))
            _same(await other.load(key, 7), b"19")

    async def test_random_owners_find_what_a_model_finds(self) -> None:
        """Sixty calls of random owners, keys and stores end as those of a dict do."""
        seed = random.randrange(1_000_000)
        chance = random.Random(seed)
        keys = [_key(), _key()]
        fences: dict[str, int] = {}
        model: dict[str, bytes] = {}
        async with self.opened() as stores:
            for turn in range(_TURNS):
                store, key = chance.choice(stores), chance.choice(keys)
                epoch, word = chance.randint(1, 30), chance.choice(["load", "save", "delete"])
                said = f"seed {seed}, turn {turn}: {word} by {epoch} after {fences.get(key)}"
                if epoch < fences.get(key, 0):
                    await _refused(_call(store, word, key, epoch, b""), said)
                    continue
                fences[key] = epoch
                _same(await _call(store, word, key, epoch, b"%d" % turn), model.get(key), said)
                if word == "save":
                    model[key] = b"%d" % turn
                elif word == "delete":
                    model.pop(key, None)


async def _call(store: Store, word: str, key: str, epoch: int, data: bytes) -> bytes | None:
    # Before a change it loads, so that each call finds what the model has.
    found = await store.load(key, epoch)
    if word == "save":
        await store.save(key, epoch, data)
    elif word == "delete":
        await store.delete(key, epoch)
    return found


def _key() -> str:
    return f"conformance.state.{uuid.uuid4().hex}"


async def _refused(call: Awaitable[object], said: str = "an older owner's call") -> None:
    try:
        await call
    except StateFenced:
        return
    raise AssertionError(f"not refused: {said}")


def _same(got: object, wanted: object, said: str = "the store") -> None:
    if got != wanted:
        raise AssertionError(f"{said}: {got!r:.200} is not {wanted!r:.200}")

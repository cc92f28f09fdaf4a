"""A client's view as a plain object: watches and reads in any order, and the later epoch counts."""

from grid.etcd import Change, KeyValue, WatchBatch
from grid.registry.registration import MalformedRegistration, encode_registration
from grid.registry.view import RegistryView

KEY = "n.mailbox.a"


def stored(epoch: int, address: str = "h:1", *, key: str = KEY) -> KeyValue:
    return KeyValue(key, encode_registration(key, address, "p"), epoch, epoch, 1)


def view() -> tuple[RegistryView, list[MalformedRegistration]]:
    malformed: list[MalformedRegistration] = []
    return RegistryView(malformed.append), malformed


def epoch_in(view: RegistryView) -> int:
    found = view.find(KEY)
    return 0 if found is None else found.epoch


def change(
    current: KeyValue | None, previous: KeyValue | None = None, revision: int = 9
) -> WatchBatch:
    return WatchBatch(revision, [Change(KEY, current, previous)], snapshot=False)


def test_a_list_and_the_changes_after_it() -> None:
    seen, _ = view()
    assert not seen.loaded
    others = [
        Change(f"n.mailbox.{name}", stored(3, key=f"n.mailbox.{name}"), None) for name in "bc"
    ]
    seen.apply(WatchBatch(3, [Change(KEY, stored(2), None), *others], snapshot=True))
    assert seen.loaded
    assert len(seen) == len(seen.all()) == 3
    seen.apply(change(None, stored(2)))
    assert epoch_in(seen) == 0
    assert len(seen) == 2


def test_an_older_registration_does_not_replace_a_later_one() -> None:
    seen, _ = view()
    seen.put(stored(8))
    seen.apply(change(stored(5)))
    assert epoch_in(seen) == 8
    seen.apply(change(None, stored(5)))  # the end of the older one is not the end of this one
    assert epoch_in(seen) == 8
    seen.apply(change(None, stored(8)))
    assert epoch_in(seen) == 0


def test_a_new_list_drops_what_is_gone_and_keeps_what_is_later_than_it() -> None:
    seen, _ = view()
    seen.put(stored(4))
    seen.apply(WatchBatch(5, [], snapshot=True))
    assert epoch_in(seen) == 0
    seen.put(stored(7))  # read after the list was made
    seen.apply(WatchBatch(6, [], snapshot=True))
    assert epoch_in(seen) == 7


def test_a_read_tells_of_a_name_that_is_gone() -> None:
    seen, _ = view()
    seen.put(stored(4))
    seen.read(KEY, seen.find(KEY), None)
    assert epoch_in(seen) == 0


def test_a_read_of_an_etcd_that_lost_its_data_counts() -> None:
    seen, _ = view()
    seen.put(stored(40))
    before = seen.find(KEY)
    seen.read(KEY, before, stored(3))
    assert epoch_in(seen) == 3


def test_a_read_that_the_watch_overtook_does_not_count() -> None:
    seen, _ = view()
    seen.put(stored(4))
    before = seen.find(KEY)
    seen.apply(change(stored(9), stored(4)))
    seen.read(KEY, before, stored(4))
    assert epoch_in(seen) == 9


def test_what_is_no_registration_is_reported_and_forgotten() -> None:
    seen, malformed = view()
    seen.put(stored(4))
    seen.put(KeyValue(KEY, b"[1]", 5, 5, 1))
    assert epoch_in(seen) == 0
    assert [str(error) for error in malformed] == [f"{KEY}: not a JSON object"]


def test_an_older_value_of_one_registration_does_not_replace_a_later_one() -> None:
    """Such as that of a peer which has withdrawn its offers, read before it did."""

    def written(revision: int, *types: str, epoch: int = 3) -> KeyValue:
        value = encode_registration(KEY, "h:1", "p", types=types)
        return KeyValue(KEY, value, epoch, revision, 1)

    def types(seen: RegistryView) -> tuple[str, ...]:
        found = seen.find(KEY)
        return () if found is None else found.types

    seen, _ = view()
    before = written(3, "a")
    seen.put(before)
    seen.apply(change(written(6)))
    seen.put(before)  # of a read that began before the change
    assert types(seen) == ()
    seen.put(written(8, "b"))
    seen.put(written(6))
    assert types(seen) == ("b",)
    seen.put(written(9, "c", epoch=9))
    assert types(seen) == ("c",)
    seen.apply(change(None, written(9, "c", epoch=9)))
    seen.put(before)  # etcd has lost its data, and counts from the start
    assert types(seen) == ("a",)
    assert not seen._rewritten

"""The names of a lease as a plain object: what is claimed, held, given back and freed."""

from grid.errors import AlreadyRegistered, EtcdUnavailable, LeaseLost
from grid.registry.ledger import Ledger, Operation


def claim(ledger: Ledger, *keys: str) -> Operation:
    return ledger.claim(dict.fromkeys(keys, b"value"))


def test_a_granted_claim_holds_all_its_keys_under_one_epoch() -> None:
    ledger = Ledger()
    both = claim(ledger, "a", "b")
    assert ledger.pending == {"a", "b"}
    assert ledger.next_batch() == [both]
    ledger.granted(both, 7, wanted=True)
    assert ledger.held == {"a": 7, "b": 7}
    assert not ledger.pending
    assert ledger.next_batch() == []


def test_a_claim_that_is_not_wanted_any_more_is_freed_under_its_epoch() -> None:
    ledger = Ledger()
    unwanted = claim(ledger, "a", "b")
    ledger.next_batch()
    ledger.granted(unwanted, 7, wanted=False)
    assert not ledger.held
    assert ledger.pending == {"a", "b"}  # another claim waits for the free
    frees = ledger.next_batch()
    assert [(free.keys, free.epoch, free.is_claim) for free in frees] == [
        (("a",), 7, False),
        (("b",), 7, False),
    ]
    for free in frees:
        ledger.freed(free)
    assert not ledger.pending


def test_a_claim_that_came_in_can_still_be_given_back() -> None:
    ledger = Ledger()
    late = claim(ledger, "a")
    ledger.next_batch()
    ledger.granted(late, 7, wanted=True)
    ledger.give_back(late, 7)
    assert not ledger.held
    assert [free.epoch for free in ledger.next_batch()] == [7]


def test_a_refused_claim_touches_nothing_in_etcd() -> None:
    for error in (AlreadyRegistered("n.actor.a"), LeaseLost()):
        ledger = Ledger()
        refused = claim(ledger, "a")
        ledger.next_batch()
        ledger.refused(refused, error)
        assert not ledger.pending
        assert not ledger.held
        assert ledger.next_batch() == []


def test_a_claim_whose_answer_was_lost_is_freed_by_lease() -> None:
    ledger = Ledger()
    lost = claim(ledger, "a")
    ledger.next_batch()
    ledger.refused(lost, EtcdUnavailable("no answer"))
    assert ledger.pending == {"a"}
    assert [(free.keys, free.epoch) for free in ledger.next_batch()] == [(("a",), 0)]


def test_batches_are_bounded_in_keys_and_bytes() -> None:
    ledger = Ledger()
    for number in range(250):
        claim(ledger, f"k{number}")
    assert [len(ledger.next_batch()) for _ in range(4)] == [100, 100, 50, 0]
    for number in range(3):
        ledger.claim({f"large{number}": b"x" * 300 * 1024})
    assert [len(ledger.next_batch()) for _ in range(4)] == [1, 1, 1, 0]


def test_what_is_larger_than_a_batch_goes_alone() -> None:
    ledger = Ledger()
    wide = claim(ledger, *(f"k{number}" for number in range(150)))
    after = claim(ledger, "a")
    assert ledger.next_batch() == [wide]
    assert ledger.next_batch() == [after]


def test_a_free_that_failed_goes_again_first_and_without_claims() -> None:
    # A full etcd refuses transactions that put something, and would keep the name with them.
    ledger = Ledger()
    held = claim(ledger, "a")
    ledger.next_batch()
    ledger.granted(held, 7, wanted=True)
    (free,) = ledger.free(("a",), 7)
    new = claim(ledger, "b")
    assert ledger.next_batch() == [free, new]
    ledger.retry(free)
    ledger.retry(free)
    later = claim(ledger, "c")
    assert ledger.next_batch() == [free, free]
    assert ledger.next_batch() == [later]
    assert ledger.held == {"a": 7}  # until it is freed


def test_a_closed_ledger_gives_nothing_back() -> None:
    ledger = Ledger()
    sent = claim(ledger, "a")
    ledger.next_batch()
    waiting = claim(ledger, "b")
    assert ledger.close() == [waiting]
    ledger.refused(waiting, LeaseLost())
    ledger.granted(sent, 7, wanted=False)
    assert not ledger.pending
    assert ledger.next_batch() == []

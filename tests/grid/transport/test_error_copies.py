"""Copies of errors, pickled ones too, have what stands on the error."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from grid import errors
from grid.errors import GridError
from grid.transport.failures import decode_failure, encode_failure


class OwnError(errors.RequestFailed):
    """An error of an actor, with parameters of its own."""

    def __init__(self, order: int) -> None:
        super().__init__(f"order {order} is not there")
        self._order = order


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],  # noqa: S301
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize(
    "error", [errors.LeaseLost(), OwnError(7), GridError("it failed"), errors.AddressInUse("a:1")]
)
def test_what_stands_on_an_error_is_on_its_copies_too(
    error: Any, again: Callable[[Any], Any]
) -> None:
    error.request_id = 5
    error.retryable = True
    error.add_note("while it was tested")
    other = again(error)
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
    assert other.__notes__ is not error.__notes__
    del error.__notes__


def test_an_error_that_was_given_an_attribute_arrives_as_itself() -> None:
    error: Any = errors.ReceiverBusy("m", 4)
    error.request_id = 5
    back = decode_failure(encode_failure(error))
    assert (type(back), back.attributes()) == (errors.ReceiverBusy, {"name": "m", "size": 4})


def test_a_pickle_of_version_0_1_is_read() -> None:
    before = (
        b"\x80\x02cgrid.errors._base\n_rebuild\nq\x00cgrid.errors._delivery\nReceiverBusy\nq\x01}q\x02"
        b"(X\x04\x00\x00\x00nameq\x03X\x01\x00\x00\x00mq\x04X\x04\x00\x00\x00sizeq\x05K\x04u\x86q\x06Rq\x07."
    )
    error = pickle.loads(before)  # noqa: S301
    assert (type(error), error.attributes()) == (errors.ReceiverBusy, {"name": "m", "size": 4})

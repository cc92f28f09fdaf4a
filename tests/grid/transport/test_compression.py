"""A payload comes back as it was packed, and nothing else comes out."""

import gzip
import os
import random
import runpy
import sys
import threading
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from grid.transport import compression
from grid.transport.compression import (
    ChecksumError,
    CompressionError,
    available,
    checksum,
    choose,
    compress,
    decompress,
    verify,
    worth,
)

KIB = 1024
ALGORITHMS = ("zstd", "gzip")
algorithms = st.sampled_from(ALGORITHMS)
# Payloads that pack well, and such that do not.
payloads = st.one_of(
    st.binary(max_size=4 * KIB),
    st.builds(lambda part, times: part * times, st.binary(max_size=40), st.integers(0, 400)),
)
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def refused(algorithm: str, data: bytes, size: int, limit: int = KIB * KIB) -> str:
    with pytest.raises(CompressionError) as caught:
        decompress(algorithm, data, size, limit)
    return str(caught.value)


# -- round trips -----------------------------------------------------------


@given(algorithms, payloads)
@example("zstd", b"")
@example("gzip", b"")
def test_a_payload_comes_back(algorithm: str, data: bytes) -> None:
    packed = compress(algorithm, data)
    assert decompress(algorithm, packed, len(data), len(data)) == data


@each_algorithm
def test_a_large_payload_comes_back(algorithm: str) -> None:
    data = b"".join(b'{"id": %d, "state": "running"}' % i for i in range(400_000))
    packed = compress(algorithm, data)
    assert worth(len(data), len(packed))
    assert decompress(algorithm, packed, len(data), len(data)) == data


@each_algorithm
def test_nothing_packs_to_nothing(algorithm: str) -> None:
    assert compress(algorithm, b"") == b""
    assert decompress(algorithm, b"", 0, 0) == b""


@each_algorithm
def test_packing_is_the_same_each_time(algorithm: str) -> None:
    assert compress(algorithm, b"abc" * 100) == compress(algorithm, b"abc" * 100)


def test_threads_do_not_disturb_each_other() -> None:
    wrong: list[bytes] = []
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        data = random.Random(seed).randbytes(300) * 200
        start.wait()
        for _ in range(50):
            back = decompress("zstd", compress("zstd", data), len(data), len(data))
            if back != data:
                wrong.append(back)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_gzip_is_what_others_call_gzip() -> None:
    assert gzip.decompress(compress("gzip", b"abc" * 50)) == b"abc" * 50
    assert decompress("gzip", gzip.compress(b"abc" * 50), 150, 150) == b"abc" * 50


# -- what is refused -------------------------------------------------------


@each_algorithm
def test_a_payload_cut_short_anywhere_is_refused(algorithm: str) -> None:
    data = random.Random(7).randbytes(300) + b"again " * 100
    packed = compress(algorithm, data)
    for length in range(len(packed)):
        refused(algorithm, packed[:length], len(data))


@given(algorithms, st.binary(max_size=200), st.integers(1, 4 * KIB))
def test_garbage_is_refused(algorithm: str, data: bytes, size: int) -> None:
    refused(algorithm, data, size)


@given(algorithms, st.binary(min_size=1, max_size=500), st.data())
def test_a_damaged_payload_has_the_announced_size_or_is_refused(
    algorithm: str, data: bytes, draw: st.DataObject
) -> None:
    packed = bytearray(compress(algorithm, data))
    packed[draw.draw(st.integers(0, len(packed) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        back = decompress(algorithm, bytes(packed), len(data), len(data))
    except CompressionError:
        return
    assert len(back) == len(data)


@given(algorithms, payloads.filter(bool), st.integers(-3 * KIB, 3 * KIB).filter(bool))
def test_another_size_than_announced_is_refused(algorithm: str, data: bytes, off: int) -> None:
    refused(algorithm, compress(algorithm, data), len(data) + off)


@each_algorithm
@pytest.mark.parametrize("more", [b"x", b"\0", b"\0" * 4096], ids=len)
def test_bytes_behind_a_payload_are_refused(algorithm: str, more: bytes) -> None:
    data = b"abc" * 100
    refused(algorithm, compress(algorithm, data) + more, len(data))
    refused(algorithm, more, 0)


@each_algorithm
def test_two_payloads_in_one_are_refused(algorithm: str) -> None:
    one = compress(algorithm, b"abc" * 100)
    refused(algorithm, one + one, 300)
    refused(algorithm, one + one, 600)


@pytest.mark.parametrize("length", [4, 300])
def test_a_zstd_frame_to_skip_is_refused(length: int) -> None:
    skipped = b"\x50\x2a\x4d\x18" + length.to_bytes(4, "little") + b"x" * length
    refused("zstd", skipped, length)
    refused("zstd", skipped + compress("zstd", b"x" * length), length)


def test_a_zstd_frame_that_does_not_say_its_size_is_refused() -> None:
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc" * 100)
    assert "not of the 300 bytes announced" in refused("zstd", silent, 300)


def test_a_gzip_frame_with_a_wrong_checksum_is_refused() -> None:
    packed = bytearray(compress("gzip", b"abc" * 100))
    packed[-8] ^= 1
    assert "incorrect data check" in refused("gzip", bytes(packed), 300)


# -- bombs -----------------------------------------------------------------


@each_algorithm
def test_an_announced_size_over_the_limit_is_refused(algorithm: str) -> None:
    bomb = compress(algorithm, bytes(64 * KIB))
    text = refused(algorithm, bomb, 64 * KIB, limit=KIB)
    assert text == "65536 bytes announced, the limit is 1024"


@each_algorithm
@pytest.mark.parametrize("size", [-1, 2**63])
def test_a_size_that_cannot_be_is_refused(algorithm: str, size: int) -> None:
    refused(algorithm, compress(algorithm, b"abc" * 100), size)


@each_algorithm
@pytest.mark.parametrize("size", [1, KIB, 64 * KIB - 1])
def test_a_bomb_that_lies_about_its_size_is_refused(algorithm: str, size: int) -> None:
    refused(algorithm, compress(algorithm, bytes(64 * KIB)), size, limit=size)


@pytest.mark.parametrize("size", [300, KIB])
def test_a_zstd_bomb_whose_header_lies_as_well_is_refused(size: int) -> None:
    frame = zstandard.ZstdCompressor(level=1).compress(bytes(64 * KIB - 1))
    assert zstandard.get_frame_parameters(frame).content_size == 64 * KIB - 1
    forged = frame[:5] + (size - 256).to_bytes(2, "little") + frame[7:]  # says 256 less
    assert zstandard.get_frame_parameters(forged).content_size == size
    refused("zstd", forged, size, limit=KIB)


@each_algorithm
def test_a_bomb_takes_no_more_memory_than_announced(algorithm: str) -> None:
    unpacked = 64 * KIB * KIB
    bomb = compress(algorithm, bytes(unpacked))
    refused(algorithm, bomb, KIB)  # what is made once is made
    tracemalloc.start()
    try:
        refused(algorithm, bomb, KIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(bomb) + 128 * KIB < unpacked / 50


# -- choosing --------------------------------------------------------------


def test_what_is_available_is_named_best_first() -> None:
    assert available() == ("zstd", "gzip")


def test_without_zstandard_there_is_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    without = runpy.run_path(str(compression.__file__))
    assert without["available"]() == ("gzip",)
    assert without["decompress"]("gzip", without["compress"]("gzip", b"abc"), 3, 3) == b"abc"
    with pytest.raises(without["CompressionError"], match="'zstd' is not available here: gzip"):
        without["compress"]("zstd", b"abc")


@pytest.mark.parametrize("algorithm", ["lz4", "", "ZSTD"])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    refused(algorithm, b"abc", 3)
    with pytest.raises(CompressionError, match="not available here: zstd, gzip"):
        compress(algorithm, b"abc")


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (["zstd", "gzip"], ["gzip", "zstd"], "zstd"),
        (["gzip", "zstd"], ["zstd", "gzip"], "gzip"),
        (["zstd", "gzip"], ["lz4", "gzip"], "gzip"),
        (["zstd"], ["gzip"], None),
        ([], ["gzip"], None),
        (["gzip"], [], None),
    ],
)
def test_the_sender_chooses_what_the_receiver_can(
    ours: list[str], theirs: list[str], chosen: str | None
) -> None:
    assert choose(ours, theirs) == chosen


@pytest.mark.parametrize(
    ("before", "after", "answer"), [(100, 99, True), (100, 100, False), (100, 101, False)]
)
def test_only_what_is_smaller_is_worth_sending(before: int, after: int, answer: bool) -> None:
    assert worth(before, after) is answer


@each_algorithm
def test_what_is_random_is_not_worth_packing(algorithm: str) -> None:
    noise = os.urandom(KIB)
    assert not worth(len(noise), len(compress(algorithm, noise)))


# -- checksums -------------------------------------------------------------


@given(st.binary())
def test_a_checksum_is_of_32_bits_and_holds(data: bytes) -> None:
    assert checksum(data) == zlib.crc32(data) & 0xFFFFFFFF
    verify(data, checksum(data))


@given(st.binary(min_size=1), st.data())
def test_a_changed_byte_is_found(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(ChecksumError, match=f"checksum of {len(data)} bytes is "):
        verify(bytes(changed), checksum(data))

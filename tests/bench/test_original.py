"""The benchmark of asyncmachine-go beside ours."""

from __future__ import annotations

import os

import pytest

from bench import original

_PRINTED = """\
goos: linux
BenchmarkClientArpc-2    \t   10000\t    147568 ns/op\t   27762 B/op\t     530 allocs/op
--- BENCH: BenchmarkClientArpc-2
    client_arpc_test.go:132: Transferred: 1,845 bytes
    client_arpc_test.go:133: Calls: 4
    client_arpc_test.go:134: Errors: 0
    client_arpc_test.go:135: Completions: 1
    client_arpc_test.go:132: Transferred: 1,202,556 bytes
    client_arpc_test.go:133: Calls: 10,003
    client_arpc_test.go:134: Errors: 0
    client_arpc_test.go:135: Completions: 10,000
BenchmarkClientGrpc-2    \t   10000\t    217771 ns/op\t   17143 B/op\t     298 allocs/op
--- BENCH: BenchmarkClientGrpc-2
    client_grpc_test.go:118: Transferred: 3,402,830 bytes
    client_grpc_test.go:119: Calls: 30,006
    client_grpc_test.go:120: Errors: 2
    client_grpc_test.go:121: Completions: 10,001
PASS
"""


def test_the_last_run_of_each_program_is_read() -> None:
    assert original.parsed(_PRINTED) == {
        "aRPC": original.OriginalRun(10_003, 1_202_556, 147568 / 1e9),
        "gRPC": original.OriginalRun(30_006, 3_402_830, 217771 / 1e9),
    }


async def test_without_go_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.original.shutil.which", lambda *_, **__: None)
    with pytest.raises(original.CannotRun, match="no Go toolchain"):
        await original.run(1)


@pytest.mark.skipif(
    not os.environ.get("GRID_INTEROP_SLOW"),
    reason="downloads and builds the original for a minute: set GRID_INTEROP_SLOW=1",
)
async def test_the_original_runs() -> None:
    found = await original.run(2)
    assert found["gRPC", 2].calls == 12
    assert found["aRPC", 2].calls >= 4
    assert all(one.bytes and one.seconds for one in found.values())

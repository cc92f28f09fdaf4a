"""The generator: as a plugin of protoc, its errors, and the code that it makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rpc.generator import include_folder
from rpc.generator.names import attribute_name, constant_name, module_aliases, type_name
from rpc.services.specification import go_name

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


def protoc(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """Run protoc with the plugin as a user does."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I.",
            f"-I{include_folder()}",
            "--python_out=.",
            "--pyi_out=.",
            "--grid_out=.",
            *files,
        ],
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_generated_code_of_the_tests_is_up_to_date(tmp_path: Path) -> None:
    proto = "tests/rpc/services/greeting.proto"
    (tmp_path / proto).parent.mkdir(parents=True)
    (tmp_path / proto).write_text((ROOT / "protos" / proto).read_text())
    done = protoc(tmp_path, proto)
    assert done.returncode == 0, done.stderr
    made = Path("tests/rpc/services/greeting_grid.py")
    assert (tmp_path / made).read_text() == (ROOT / made).read_text()


SHARED = """
syntax = "proto3";
package shop.common;
message Money { int64 cents = 1; message Currency { string code = 1; } }
"""
SHOP = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/wrappers.proto";
import "common/shared.proto";
import "rpc/options.proto";
service Shop {
  // Prices an article.
  rpc price(google.protobuf.StringValue) returns (common.Money);
  rpc Pass(common.Money.Currency) returns (common.Money);
  rpc get_x_y_Z(Local) returns (Local) { option (rpc.method).affinity_func = true; }
  rpc Everyone(Local) returns (Local) { option (rpc.method).multi = true; }
}
message Local { optional string text = 1; }
service Empty {}
"""
USE = """
import asyncio
from common.shared_pb2 import Money
from shop_grid import EmptyServer, ShopClient, ShopServer, UnimplementedShop
from rpc.services import CallContext, LocalBus
from google.protobuf.wrappers_pb2 import StringValue


class Shop(UnimplementedShop):
    async def price(self, request: StringValue, context: CallContext) -> Money:
        return Money(cents=len(request.value))


async def main() -> None:
    bus = LocalBus()
    async with ShopServer(Shop(), bus), ShopClient(bus) as client, EmptyServer(None, bus):
        assert (await client.price(StringValue(value="tea"))).cents == 3
    await bus.close()


asyncio.run(main())
"""


def test_generated_code_runs_and_passes_lint(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "shared.proto").write_text(SHARED)
    (tmp_path / "shop.proto").write_text(SHOP)
    (tmp_path / "use.py").write_text(USE)
    done = protoc(tmp_path, "shop.proto", "common/shared.proto")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "common" / "shared_grid.py").exists()
    for command in (
        [sys.executable, "use.py"],
        [str(BIN / "ruff"), "check", "--config", str(ROOT / "pyproject.toml"), "shop_grid.py"],
    ):
        ran = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("stream: true, subscription: true", "a stream or a subscription"),
        ("stream: true, type: MULTI", "cannot be MULTI"),
        ("subscription: true, type: AFFINITY", "no affinity"),
        ("topic_params: {names: ['a']}", "`topics: true`"),
        ("topics: true, topic_params: {names: ['a', 'a']}", "called 'a'"),
        ("topics: true, topic_params: {names: ['a b']}", "'a b' cannot be the name"),
        ("topics: true, topic_params: {group: 'g', names: ['a']}", "other parameters"),
        ("type: MULTI, topics: true, topic_params: {single_server: true}", "single_server"),
        ("type: MULTI, affinity_func: true", "contradict"),
        ("multi: true, affinity_func: true", "contradict"),
    ],
)
def test_bad_options_name_file_service_and_method(
    tmp_path: Path, options: str, reason: str
) -> None:
    (tmp_path / "bad.proto").write_text(
        'syntax = "proto3"; import "rpc/options.proto"; message M {}\n'
        "service Shop {\n"
        "  rpc First(M) returns (M) {\n"
        "    option (rpc.method) = {topics: true, topic_params: {group: 'g', names: ['b']}};\n"
        "  }\n"
        f"  rpc Bad(M) returns (M) {{ option (rpc.method) = {{{options}}}; }}\n"
        "}\n"
    )
    from google.protobuf import descriptor_pb2
    from google.protobuf.compiler import plugin_pb2

    from rpc.generator import generate

    assert descriptor_pb2
    files = tmp_path / "files"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{tmp_path}",
            f"-I{include_folder()}",
            "--include_imports",
            f"--descriptor_set_out={files}",
            "bad.proto",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    request = plugin_pb2.CodeGeneratorRequest(file_to_generate=["bad.proto"])
    request.proto_file.MergeFrom(
        descriptor_pb2.FileDescriptorSet.FromString(files.read_bytes()).file
    )
    request = plugin_pb2.CodeGeneratorRequest.FromString(request.SerializeToString())
    error = generate(request).error
    assert error.startswith("bad.proto: Shop.Bad: ")
    assert reason in error


def test_two_methods_of_one_name_in_python_and_bad_calls_are_errors(tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text(
        'syntax = "proto3"; message M {}\n'
        "service Shop { rpc GetX(M) returns (M); rpc get_x(M) returns (M); }\n"
    )
    done = protoc(tmp_path, "bad.proto")
    assert done.returncode != 0
    assert "bad.proto: Shop.get_x: it is 'get_x' in Python, as GetX is" in done.stderr


def test_its_help_explains_it_and_other_words_do_not() -> None:
    def run(word: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "protoc-gen-grid"), word]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    wrong, explained = run("what"), run("--help")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "usage" in wrong.stderr
    assert (explained.returncode, explained.stderr) == (0, "")
    assert explained.stdout.startswith("usage: ")
    assert "--grid_out=." in explained.stdout


def test_names() -> None:
    assert [attribute_name(name) for name in ("SayHello", "getURL", "import", "HTTPGet2")] == [
        "say_hello",
        "get_url",
        "import_",
        "http_get2",
    ]
    assert constant_name("Greeter", "SayHello") == "GREETER_SAY_HELLO"
    assert type_name("room_id") == "RoomId"
    assert module_aliases(["a_b.c_pb2", "c_pb2", "d.e_pb2"]) == {
        "a_b.c_pb2": "_a__b_c__pb2",
        "c_pb2": "_c__pb2",
        "d.e_pb2": "_e_pb2",
    }
    go = {"X_y_Z": "XY_Z", "b_c": "BC", "SayHello": "SayHello", "_foo": "XFoo", "a1b": "A1B"}
    assert {name: go_name(name) for name in go} == go


ODD_NAMES = """
syntax = "proto3";
package class.lambda;
message None { message class { string text = 1; } }
"""
ODD = """
syntax = "proto3";
package odd;
import "class/def.proto";
message A { string text = 1; }
service Foo {
  rpc BarBaz(A) returns (A);
  rpc _call(A) returns (A);
  rpc __init__(A) returns (A);
}
service FooBar { rpc Baz(class.lambda.None) returns (class.lambda.None.class); }
service FOO { rpc Other(A) returns (A); }
"""
ODD_PROGRAM = """
import asyncio
from rpc.services import LocalBus
from odd_grid import (
    FOO, FOO_, FooBase, FooClient, FooServer, FooBarBase, FooBarClient, FooBarServer,
)
from odd_pb2 import A
import importlib

messages = importlib.import_module("class.def_pb2")
Nothing = getattr(messages, "None")
Inner = getattr(Nothing, "class")


class One(FooBase):
    async def bar_baz(self, request, context):
        return A(text=request.text + " bar_baz")

    async def call_(self, request, context):
        return A(text=request.text + " call")

    async def init___(self, request, context):
        return A(text=request.text + " init")


class Two(FooBarBase):
    async def baz(self, request, context):
        return Inner(text="baz")


async def main():
    assert (FOO.name, FOO_.name) == ("odd.Foo", "odd.FOO")
    bus = LocalBus()
    async with (
        FooServer(One(), bus), FooClient(bus) as one,
        FooBarServer(Two(), bus), FooBarClient(bus) as two,
    ):
        print((await one.bar_baz(A(text="a"))).text)
        print((await one.call_(A(text="b"))).text)
        print((await one.init___(A(text="c"))).text)
        print((await two.baz(Nothing())).text)
    await bus.close()


asyncio.run(main())
"""


def test_names_that_python_reserves_or_that_meet_in_it_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "def.proto").write_text(ODD_NAMES)
    (tmp_path / "odd.proto").write_text(ODD)
    (tmp_path / "program.py").write_text(ODD_PROGRAM)
    done = protoc(tmp_path, "class/def.proto", "odd.proto")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.stdout.split("\n") == ["a bar_baz", "b call", "c init", "baz", ""], ran.stderr

"""The plugin of protoc: a request on stdin, a response on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse

from rpc import options_pb2
from rpc.generator.emit import emit
from rpc.generator.errors import InvalidOptions
from rpc.generator.names import module_name
from rpc.generator.reading import read_file, read_messages

__all__ = ["generate", "include_folder", "main"]

_OPTIONS = "rpc/options.proto"
_USAGE = "usage: protoc-gen-grid [--include | --help]\n"
_HELP = """
Generates the base class of servers and the client of each service in a .proto file, for
`rpc.services`. It is a plugin, which protoc finds on PATH and calls:

  protoc -I . -I "$(protoc-gen-grid --include)" --python_out=. --grid_out=. greeter.proto

writes greeter_pb2.py (messages, by protoc itself) and greeter_grid.py (services, by this).
Routes and topics of methods are options of rpc/options.proto; see docs/services.md.

  --include  print the folder of rpc/options.proto, for -I of protoc
  --help     print this
"""


def generate(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """The generated files of a request, or its error.

    The parameter must be empty: there is nothing to choose.
    """
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
        | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS,
        minimum_edition=998,  # proto2
        maximum_edition=1000,  # 2023
    )
    if request.parameter:
        response.error = f"--grid_out has no parameters, and was given {request.parameter!r}"
        return response
    messages = read_messages(request.proto_file)
    modules = [module_name(file.name) for file in request.proto_file]
    wanted = set(request.file_to_generate)
    try:
        for file in request.proto_file:
            if file.name in wanted and file.service:
                made = read_file(file, messages, modules)
                response.file.add(
                    name=made.module.removesuffix("_pb2").replace(".", "/") + "_grid.py",
                    content=emit(made),
                )
    except InvalidOptions as error:
        del response.file[:]
        response.error = str(error)
    return response


def include_folder() -> Path:
    """The folder of `rpc/options.proto`, for protoc's -I.

    Raises:
        FileNotFoundError: the installation lacks the file.
    """
    packages = Path(options_pb2.__file__).parents[1]
    for folder in (packages, packages / "protos"):
        if (folder / _OPTIONS).is_file():
            return folder
    raise FileNotFoundError(f"{_OPTIONS} is not in {packages}: install actor-grid again")


def main() -> int:
    """Run as a plugin of protoc, or print the folder of the options."""
    if sys.argv[1:] == ["--include"]:
        print(include_folder())
        return 0
    if sys.argv[1:] in (["--help"], ["-h"]):
        print(_USAGE + _HELP, end="")
        return 0
    if len(sys.argv) > 1 or sys.stdin.isatty():
        sys.stderr.write(f"{_USAGE}see protoc-gen-grid --help\n")
        return 2
    assert options_pb2.DESCRIPTOR  # noqa: S101 - its extension is known before the request is read
    request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(request).SerializeToString())
    return 0

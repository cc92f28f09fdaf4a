"""Error codes in gRPC and HTTP, both ways, and errors of gRPC in handlers."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from grid.errors import InvalidArgument
from grid.wire_pb2 import EchoMsg
from rpc.services import CallContext, ErrorCode, ServiceError
from rpc.services.codes import code_of_grpc
from rpc.services.errors import error_of, from_handler
from tests.rpc.services.greeting_grid import GreeterClient, GreeterServer
from tests.rpc.services.greeting_pb2 import Hello
from tests.rpc.services.kit import Greeter, local_hall


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_is_one_of_grpc_and_of_http(code: ErrorCode) -> None:
    assert code.grpc in grpc.StatusCode.__members__
    assert 400 <= code.http < 600
    back = code_of_grpc(code.grpc)
    assert back.grpc == code.grpc
    assert ErrorCode.of(str(code)) is code
    error = ServiceError(code, "text", details=[Hello(text="d")])
    key, status = error.grpc_trailer()
    assert (key, status[0]) == ("grpc-status-details-bin", 8)
    assert status[1] == grpc.StatusCode[code.grpc].value[0]


@pytest.mark.parametrize("status", [one for one in grpc.StatusCode if one.name != "OK"])
def test_each_code_of_grpc_is_kept(status: grpc.StatusCode) -> None:
    assert code_of_grpc(status.name).grpc == status.name


def test_a_code_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"code must be one of canceled, .*, not nope"):
        ServiceError("nope")
    assert error_of("nope", "from afar").code is ErrorCode.UNKNOWN  # what is read is taken


def test_other_texts_are_unknown() -> None:
    assert ErrorCode.of("no such code") is ErrorCode.UNKNOWN
    assert code_of_grpc("OK") is ErrorCode.UNKNOWN


async def test_an_error_of_grpc_keeps_code_text_and_details() -> None:
    """A handler calls a gRPC server, which fails with a rich status, and lets the error pass."""
    said = ServiceError("failed_precondition", "not now", details=[Hello(text="why")])

    async def fail(_: EchoMsg, context: grpc.aio.ServicerContext[EchoMsg, EchoMsg]) -> EchoMsg:
        context.set_trailing_metadata([said.grpc_trailer()])
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, said.text)
        return EchoMsg()

    handler: grpc.RpcMethodHandler[EchoMsg, EchoMsg] = grpc.unary_unary_rpc_method_handler(
        fail,
        request_deserializer=EchoMsg.FromString,
        response_serializer=EchoMsg.SerializeToString,
    )
    grpc_server = grpc.aio.server()
    grpc_server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tests.Fails", {"Fail": handler}),)
    )
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()

    class Calls(Greeter):
        async def greet(self, request: Hello, context: CallContext) -> Hello:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                method: grpc.aio.UnaryUnaryMultiCallable[EchoMsg, EchoMsg] = channel.unary_unary(
                    "/tests.Fails/Fail",
                    request_serializer=EchoMsg.SerializeToString,
                    response_deserializer=EchoMsg.FromString,
                )
                await method(EchoMsg())
            return Hello()

    try:
        async with local_hall() as made:
            bus = made._server_bus()
            async with GreeterServer(Calls("a"), bus), GreeterClient(bus) as client:
                with pytest.raises(ServiceError, match="not now") as raised:
                    await client.greet(Hello(), timeout=20.0)
    finally:
        await grpc_server.stop(0)
    assert raised.value.code is ErrorCode.FAILED_PRECONDITION
    assert raised.value.detail(Hello) == Hello(text="why")


def test_trailing_metadata_that_is_no_status_is_ignored() -> None:
    class Odd(Exception):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.ABORTED

        def details(self) -> str:
            return "odd"

        def trailing_metadata(self) -> list[tuple[str, bytes]]:
            return [("grpc-status-details-bin", b"\xff")]

    error = from_handler(Odd())
    assert (error.code, error.text, error.details) == (ErrorCode.ABORTED, "odd", ())

"""What a client may hold of us by saying little, by saying too much, or by being many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.importer import import_from_string
from uvicorn.server import ServerState

from server.connections import Bounds, within

BOUNDS = Bounds(head_s=0.3, body_s=0.5, head=2000, connections=3)
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Client]]
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SEND = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"


async def echo(_: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body, more = body + event["body"], event["more_body"]
        if event["body"].startswith(b"no"):  # an answer before the body is there
            body, more = b"", False
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def held(meeting: Callable[[Connect], Awaitable[None]], parser: type[Any]) -> None:
    """Have a server of such connections, and meet it."""

    async def play() -> None:
        protocol, state = within(BOUNDS, parser), ServerState()
        config = uvicorn.Config(echo, http=protocol, log_config=None)
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        async with server:
            async with asyncio.timeout(20):
                await meeting(lambda: asyncio.open_connection(*server.sockets[0].getsockname()))
            for connection in list(state.connections):
                connection.transport.close()

    asyncio.run(play())


async def end_of(client: Client) -> tuple[bytes, float]:
    """Give what else it says, and after how long it hung up."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    said = await client[0].read()
    client[1].close()
    return said, loop.time() - began


async def trickle(client: Client, data: bytes) -> None:
    """Send a byte now and then, for longer than there is time."""
    try:
        for byte in data:
            client[1].write(bytes([byte]))
            await client[1].drain()
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass


@pytest.fixture(params=["h11_impl:H11Protocol", "httptools_impl:HttpToolsProtocol"])
def parser(request: pytest.FixtureRequest) -> type[Any]:
    found: type[Any] = import_from_string(f"uvicorn.protocols.http.{request.param}")
    return found


def test_whoever_says_nothing_is_hung_up_on(parser: type[Any]) -> None:
    async def meet(connect: Connect) -> None:
        said, took = await end_of(await connect())
        assert (said, took >= 0.25) == (b"", True)

    held(meet, parser)


@pytest.mark.parametrize("before", [b"", ASK])
def test_a_head_byte_by_byte_is_told_so_and_hung_up_on(parser: type[Any], before: bytes) -> None:
    async def meet(connect: Connect) -> None:
        client = await connect()
        if before:
            client[1].write(before)
            await client[0].readuntil(b"\r\n\r\n")
        sending = asyncio.create_task(trickle(client, b"GET / HTTP/1.1\r\nx: " + b"y" * 400))
        said, took = await end_of(client)
        sending.cancel()
        assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert said.endswith(b"\r\n\r\nthe request did not come within 0.3 seconds")
        assert took < 5

    held(meet, parser)


def test_a_body_byte_by_byte_is_hung_up_on(parser: type[Any]) -> None:
    async def meet(connect: Connect) -> None:
        client = await connect()
        client[1].write(SEND.replace(b"5", b"500"))
        sending = asyncio.create_task(trickle(client, b"x" * 400))
        said, took = await end_of(client)
        sending.cancel()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert 0.45 <= took < 5

    held(meet, parser)


def test_a_head_without_end_is_refused(parser: type[Any]) -> None:
    async def meet(connect: Connect) -> None:
        client = await connect()
        client[1].write(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 1000)
        said, _ = await end_of(client)
        assert said.startswith(b"HTTP/1.1 431 ")

    held(meet, parser)


def test_of_too_many_the_one_that_was_idle_longest_makes_room(parser: type[Any]) -> None:
    async def meet(connect: Connect) -> None:
        clients = [await connect() for _ in range(3)]
        for client in (clients[1], clients[0], clients[2]):
            client[1].write(SEND + b"hello")
            assert (await client[0].readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        late = await connect()
        late[1].write(SEND + b"hello")
        await late[0].readuntil(b"hello")
        assert await clients[1][0].read() == b""
        for client in (clients[0], clients[2], late):
            client[1].write(ASK)
            assert b"200 OK" in await client[0].readuntil(b"\r\n\r\n")
        for client in (*clients, late):
            client[1].close()

    held(meet, parser)


def test_an_answer_is_one_piece_and_several_in_a_row_are_all_given(parser: type[Any]) -> None:
    async def meet(connect: Connect) -> None:
        client = await connect()
        for _ in range(3):
            client[1].write(SEND)
            await client[1].drain()
            client[1].write(b"hello")
            assert (await client[0].read(65536)).endswith(b"\r\n\r\nhello")
        client[1].write((SEND + b"hello") * 2)
        for _ in range(2):
            await client[0].readuntil(b"\r\n\r\nhello")
        client[1].close()

    held(meet, parser)


def test_whoever_sends_on_after_the_answer_can_read_it_and_ask_again(parser: type[Any]) -> None:
    async def meet(connect: Connect) -> None:
        client = await connect()
        client[1].write(SEND.replace(b"5", b"100000") + b"no")
        assert b"200 OK" in await client[0].readuntil(b"\r\n\r\n")
        client[1].write(b"x" * 99_998 + SEND + b"hello")
        await client[0].readuntil(b"\r\n\r\nhello")
        client[1].close()

    held(meet, parser)

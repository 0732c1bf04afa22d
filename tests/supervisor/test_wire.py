"""One exercise for both ways to an API, against real sockets that answer well and badly."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bench.minimal_api import shut
from supervisor.retrying import Fault
from supervisor.wire import LeanWire, Timeouts, Wire, WireFault, address
from supervisor.wire_httpx import HttpxWire

T = TypeVar("T")
Make = Callable[..., Wire]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

QUICK = Timeouts(connect_s=1.0, answer_s=1.0)
OK = b"HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 2\r\n\r\nok"


def play(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, 20))


@contextlib.asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def safely(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(safely, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    try:
        yield f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}/api"
    finally:
        await shut(server)


def answering(*answers: bytes, heads: list[bytes] | None = None, close: bool = False) -> Serve:
    """Answer each request of a connection with the next of these, the last one ever after."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(10_000):
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
            if heads is not None:
                heads.append(head + body)
            writer.write(answers[min(number, len(answers) - 1)])
            if close:
                await writer.drain()
                return

    return serve


MAKERS: dict[str, Make] = {"lean": LeanWire, "httpx": HttpxWire}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


async def against(make: Make, serve: Serve, ask: Callable[[Wire], Awaitable[T]], **options: Any) -> T:
    async with serving(serve) as url:
        wire = make(address(url), **{"timeouts": QUICK, **options})
        try:
            return await ask(wire)
        finally:
            await wire.close()
            await wire.close()


def test_it_says_what_it_is_told_and_hears_what_is_answered(make: Make) -> None:
    heads: list[bytes] = []
    answer = play(
        against(make, answering(OK, heads=heads), lambda wire: wire.exchange("PUT", "/x%2Fy?a=%20", b"a: b\r\n", b"{}"))
    )
    assert (answer.status, answer.body, answer.header(b"x")) == (200, b"ok", "1")
    head = heads[0].lower()
    assert head.startswith(b"put /api/x%2fy?a=%20 http/1.1\r\n")
    assert b"\r\na: b\r\n" in head
    assert b"content-type: application/json" in head
    assert head.endswith(b"\r\n\r\n{}")
    assert head.count(b"\r\nhost: localhost:") == 1


def test_a_connection_is_kept(make: Make) -> None:
    connections = 0
    inner = answering(OK)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await inner(reader, writer)

    async def ask(wire: Wire) -> None:
        for _ in range(5):
            await wire.exchange("GET", "/", b"")

    play(against(make, serve, ask))
    assert connections == 1


def test_many_at_once_over_few_connections(make: Make) -> None:
    async def ask(wire: Wire) -> list[int]:
        return [answer.status for answer in await asyncio.gather(*(wire.exchange("GET", "/", b"") for _ in range(50)))]

    assert play(against(make, answering(OK), ask, size=3)) == [200] * 50


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"HTTP/1.0 200 OK\r\n\r\nuntil the end"])
def test_an_answer_that_ends_with_its_connection(make: Make, answer: bytes) -> None:
    found = play(against(make, answering(answer, close=True), lambda wire: wire.exchange("GET", "/", b"")))
    assert found.body == b"until the end"


def test_the_answer_to_a_head_has_no_body(make: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-range: map_indexes 3\r\n\r\n"
    found = play(against(make, answering(answer), lambda wire: wire.exchange("HEAD", "/", b"")))
    assert found.header(b"content-range") == "map_indexes 3"


async def fault_of(waiting: Awaitable[Any]) -> WireFault:
    with pytest.raises(WireFault) as caught:
        await waiting
    return caught.value


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", b""],
    ids=["garbage", "cut short", "nothing"],
)
def test_what_is_no_answer_may_have_been_heard(make: Make, answer: bytes) -> None:
    fault = play(against(make, answering(answer, close=True), lambda w: fault_of(w.exchange("GET", "/", b""))))
    assert fault.fault is Fault.UNANSWERED


def test_silence_is_waited_for_so_long(make: Make) -> None:
    fault = play(against(make, answering(b""), lambda w: fault_of(w.exchange("GET", "/", b"", timeout_s=0.1))))
    assert fault.fault is Fault.UNANSWERED


def test_nobody_there_has_heard_nothing(make: Make) -> None:
    async def scenario() -> WireFault:
        async with serving(answering(OK)) as url:
            pass
        wire = make(address(url), timeouts=QUICK)
        fault = await fault_of(wire.exchange("GET", "/", b""))
        await wire.close()
        return fault

    assert play(scenario()).fault is Fault.UNSENT


def test_a_closed_wire_sends_nothing(make: Make) -> None:
    async def ask(wire: Wire) -> WireFault:
        await wire.close()
        return await fault_of(wire.exchange("GET", "/", b""))

    assert play(against(make, answering(OK), ask)).fault is Fault.UNSENT


@pytest.mark.parametrize("turns", range(8))
def test_a_wire_that_is_closed_while_it_connects_sends_nothing(turns: int) -> None:
    """Closed after so many turns of the loop, of which a connect takes some."""
    heads: list[bytes] = []

    async def ask(wire: Wire) -> None:
        asking = asyncio.ensure_future(wire.exchange("GET", "/x", b""))
        for _ in range(turns):
            await asyncio.sleep(0)
        await wire.close()
        with pytest.raises(WireFault) as caught:
            await asking
        assert caught.value.fault is Fault.UNSENT or "closed" in str(caught.value)

    play(against(LeanWire, answering(OK, heads=heads), ask))


def test_an_answer_for_who_gave_up_is_nobody_else_s(make: Make) -> None:
    """The connection of a cancelled question is not used again: its answer would be taken for the next one's."""

    async def scenario() -> bytes:
        arrived, given_up = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                slow = b"/slow" in await reader.readuntil(b"\r\n\r\n")
                if slow:
                    arrived.set()
                    await given_up.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + (b"slow" if slow else b"fast"))

        async def ask(wire: Wire) -> bytes:
            waiting = asyncio.ensure_future(wire.exchange("GET", "/slow", b""))
            await arrived.wait()
            waiting.cancel()
            await asyncio.wait([waiting])
            given_up.set()
            return (await wire.exchange("GET", "/fast", b"")).body

        return await against(make, serve, ask)

    assert play(scenario()) == b"fast"


def test_who_waits_for_a_connection_may_give_up(make: Make) -> None:
    async def scenario() -> int:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                arrived.set()
                await go_on.wait()
                writer.write(OK)

        async def ask(wire: Wire) -> int:
            first, second, third = (asyncio.ensure_future(wire.exchange("GET", "/", b"")) for _ in range(3))
            await arrived.wait()
            second.cancel()
            go_on.set()
            await asyncio.wait([second])
            return (await first).status + (await third).status

        return await against(make, serve, ask, size=1)

    assert play(scenario()) == 400


def certificate(folder: Path) -> ssl.SSLContext:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject]
    subprocess.run(
        [*command, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_tls_is_spoken_with_who_can_be_trusted_and_nobody_else(make: Make, tmp_path: Path) -> None:
    server = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    async def scenario() -> tuple[int, WireFault]:
        async with serving(answering(OK), server) as url:
            good, bad = (
                make(address(url), timeouts=QUICK, tls=tls) for tls in (trusting, ssl.create_default_context())
            )
            status = (await good.exchange("GET", "/", b"")).status
            fault = await fault_of(bad.exchange("GET", "/", b""))
            await good.close()
            await bad.close()
            return status, fault

    status, fault = play(scenario())
    assert (status, fault.fault) == (200, Fault.UNSENT)
    assert "certificate" in str(fault)


def test_a_kept_connection_that_ends_as_it_is_used_is_called_stale() -> None:
    async def ask(wire: Wire) -> WireFault:
        await wire.exchange("GET", "/", b"")
        return await fault_of(wire.exchange("GET", "/", b""))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")

    assert play(against(LeanWire, serve, ask)).stale


@pytest.mark.parametrize(
    ("url", "authority", "root"),
    [
        ("http://h/execution/", "h", "/execution"),
        ("http://h:80", "h", ""),
        ("https://h:443/a", "h", "/a"),
        ("http://[::1]:8793/a", "[::1]:8793", "/a"),
    ],
)
def test_an_address_is_read(url: str, authority: str, root: str) -> None:
    found = address(url)
    assert (found.authority, found.root) == (authority, root)


@pytest.mark.parametrize("url", ["localhost:8793", "ftp://h", "http://", ""])
def test_what_is_no_url_of_an_api_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        address(url)

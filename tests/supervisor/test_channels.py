"""The channel of frames, with real sockets and a session that is only bytes."""

import asyncio
import os
import select
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor.channels import HIGH_MARK, FrameChannel
from tests.supervisor.keeper.world import fds, in_loop, until


class Echo:
    """A session whose events are what came, and the end."""

    def receive(self, data: bytes) -> Sequence[bytes]:
        """Give each letter, so that one read is many events."""
        return [data] if len(data) > 10 else [bytes([letter]) for letter in data]

    def receive_end(self) -> Sequence[bytes]:
        """Give the end."""
        return [b"<end>"]


def pair() -> tuple[FrameChannel[bytes], socket.socket, list[bytes]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.setblocking(False)
    heard: list[bytes] = []
    return FrameChannel(ours.detach(), Echo(), heard.append), theirs, heard


async def swallow(end: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < size and (part := await loop.sock_recv(end, 1 << 20)):
        found += part
    return found


@in_loop
async def test_bytes_become_events_in_order_and_the_end_is_one() -> None:
    channel, theirs, heard = pair()
    theirs.send(b"abc")
    assert heard == []
    channel.open()
    channel.open()
    await until(lambda: len(heard) == 3)
    theirs.send(b"d")
    theirs.close()
    await until(lambda: channel.ended)
    assert heard == [b"a", b"b", b"c", b"d", b"<end>"]
    assert channel.bytes_in == 4
    channel.close()


@in_loop
async def test_what_is_sent_arrives_and_is_counted() -> None:
    channel, theirs, _ = pair()
    channel.send(b"")
    channel.send(b"hello ")
    channel.send(b"world")
    await channel.drained()
    assert await swallow(theirs, 11) == b"hello world"
    assert (channel.bytes_out, channel.unsent) == (11, 0)
    theirs.close()
    channel.close()


@in_loop
async def test_a_child_that_reads_nothing_is_not_heard_until_it_does() -> None:
    channel, theirs, heard = pair()
    channel.open()
    reply = os.urandom(1 << 16)
    sent = 0
    while channel.unsent <= HIGH_MARK:
        channel.send(reply)
        sent += len(reply)
    theirs.send(b"q")
    for _ in range(20):
        await asyncio.sleep(0)
    assert heard == []
    assert await swallow(theirs, sent) == reply * (sent // len(reply))
    await channel.drained()
    await until(lambda: heard == [b"q"])
    theirs.close()
    channel.close()


@in_loop
async def test_replies_of_any_size_go_out_without_blocking() -> None:
    channel, theirs, _ = pair()
    reply = bytes(32 << 20)
    channel.send(reply)
    assert 0 < channel.unsent < len(reply)
    assert len(await swallow(theirs, len(reply))) == len(reply)
    assert channel.unsent == 0
    theirs.close()
    channel.close()


@in_loop
async def test_each_brake_holds_until_it_is_lifted_itself() -> None:
    channel, theirs, heard = pair()
    channel.pause("handlers")
    channel.pause("drain")
    channel.open()
    theirs.send(b"x")
    channel.resume("drain")
    channel.resume("drain")
    for _ in range(20):
        await asyncio.sleep(0)
    assert heard == []
    channel.resume("handlers")
    await until(lambda: heard == [b"x"])
    theirs.close()
    channel.close()


@in_loop
async def test_a_child_that_died_with_replies_unread_is_an_end_and_no_error() -> None:
    channel, theirs, heard = pair()
    channel.open()
    theirs.send(b"y")
    channel.send(bytes(8 << 20))
    theirs.close()
    await channel.drained()
    await until(lambda: channel.ended)
    assert heard == [b"y", b"<end>"]
    channel.send(b"into the void")
    assert channel.unsent == 0
    channel.close()


@in_loop
async def test_a_loop_that_tells_of_an_error_once_is_enough() -> None:
    """Such as uvloop, which then stops looking: all that was said is heard, and the end."""
    channel, theirs, heard = pair()
    channel._to_the_end = True  # noqa: SLF001 - as on another loop than asyncio's own
    channel.open()
    channel.pause("so that much is there at once")
    size = theirs.send(bytes(4 << 20))
    channel.send(b"unread")
    theirs.close()
    channel.resume("so that much is there at once")
    await until(lambda: channel.ended)
    assert b"".join(heard) == bytes(size) + b"<end>"
    channel.close()


@in_loop
async def test_a_child_may_be_heard_after_we_have_said_all() -> None:
    channel, theirs, heard = pair()
    channel.open()
    channel.send(b"last")
    channel.finish()
    channel.send(b"too late")
    assert await swallow(theirs, 100) == b"last"
    theirs.send(b"z")
    await until(lambda: heard == [b"z"])
    theirs.close()
    channel.close()


@pytest.mark.parametrize("opened", [False, True])
@in_loop
async def test_closing_ends_it_for_a_duplicate_too(opened: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    before = fds()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    duplicate = ours.dup()
    heard: list[bytes] = []
    channel = FrameChannel(ours.detach(), Echo(), heard.append)
    if opened:
        channel.open()
    channel.send(bytes(8 << 20))
    theirs.send(b"unheard")
    channel.close()
    channel.close()
    channel.finish()
    channel.resume("nothing")
    channel.send(b"x")
    await channel.drained()
    theirs.setblocking(False)
    await swallow(theirs, 8 << 20)  # what the kernel had taken, and then the end, although a duplicate is open
    assert heard == []
    duplicate.close()
    theirs.close()
    assert fds() == before


@in_loop
async def test_an_event_may_close_the_channel_it_came_from() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    heard: list[bytes] = []

    def hang_up(event: bytes) -> None:
        heard.append(event)
        channel.close()

    channel = FrameChannel(ours.detach(), Echo(), hang_up)
    channel.open()
    theirs.send(b"abc")
    await until(lambda: channel.ended)
    assert heard == [b"a"]
    theirs.close()


@in_loop
async def test_fds_go_with_the_first_byte_of_what_they_belong_to_and_are_closed_here(tmp_path: Path) -> None:
    channel, theirs, _ = pair()
    before = fds()
    waiting = b"x" * 4 * HIGH_MARK
    channel.send(waiting)  # more than the socket takes, so that the next ones have to wait
    files = [os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY) for name in "ab"]
    for fd in files:
        channel.send(b"with fd", [fd])
    starts = {"a": len(waiting), "b": len(waiting) + len(b"with fd")}
    found: list[str] = []
    size, whole = 0, len(waiting) + 2 * len(b"with fd")
    while size < whole:
        await until(lambda: bool(select.select([theirs], [], [], 0)[0]))
        data, came, _flags, _address = socket.recv_fds(theirs, 1 << 20, 4)
        for fd in came:
            name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
            assert size <= starts[name] < size + len(data)
            found.append(name)
            os.close(fd)
        size += len(data)
    assert found == ["a", "b"]
    assert fds() == before
    channel.close()
    theirs.close()


@in_loop
async def test_fds_that_cannot_be_passed_are_closed(tmp_path: Path) -> None:
    channel, theirs, _ = pair()
    before = fds()
    channel.send(b"x" * 4 * HIGH_MARK)
    channel.send(b"late", [os.open(tmp_path / "a", os.O_CREAT | os.O_WRONLY)])
    channel.close()
    channel.send(b"never", [os.open(tmp_path / "a", os.O_WRONLY)])
    assert fds() == before - 3  # ours: the socket, the slate and its mapping
    theirs.close()

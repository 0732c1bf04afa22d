"""A slate, with real sockets: what is on it after a death at any point is what a successor needs."""

import os
import signal
import socket
import struct
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from supervisor import points
from supervisor.slate import READ_SIZE, Part, Slate, blank, tenure_of
from tests.supervisor.keeper.world import fds


def frame(number: int, size: int = 0) -> bytes:
    payload = msgspec.msgpack.encode([number, b"x" * size, None])
    return struct.pack(">I", len(payload)) + payload


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(0)
    return ours, theirs


def died_in(step: Callable[[], object], point: str) -> bool:
    """Do it in a process that is killed at this point: whether it came there."""
    pid = os.fork()
    if pid == 0:
        points.arm(point)
        step()
        os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def heir(slate: Slate) -> Slate:
    """Give what a successor would open: the keeper's duplicate."""
    return Slate(os.dup(slate.fd))


def test_what_was_heard_stays_until_all_is_answered() -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()
        slate.say(frame(0))
        assert slate.send(ours) == len(frame(0))
        slate.rest()
        theirs.send(frame(0) + frame(1) + b"\0\0")
        assert slate.hear(ours) == frame(0) + frame(1) + b"\0\0"
        slate.say(frame(1))
        after = heir(slate)
        assert (after.said, after.unanswered(), after.unsent) == (True, frame(0) + b"\0\0", len(frame(1)))
        after.close()
        slate.say(frame(0))
        slate.rest()
        assert slate.unanswered() == b""
        with pytest.raises(BlockingIOError):
            slate.hear(ours)
        theirs.recv(1000)
        theirs.close()
        assert slate.hear(ours) == b""
        slate.close()
        slate.close()


@pytest.mark.parametrize("point", ["slate.read", "slate.heard"])
@pytest.mark.parametrize("size", [0, 1, 3000, 100_000])
def test_a_death_around_a_read_loses_nothing_and_doubles_nothing(point: str, size: int) -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()
        theirs.send(frame(1, size))
        if size > READ_SIZE:
            slate.hear(ours)
        assert died_in(lambda: slate.hear(ours), point)
        after = heir(slate)
        found = after.unanswered()
        while len(found) < len(frame(1, size)):
            after.hear(ours)
            found = after.unanswered()
        assert found == frame(1, size)
        with pytest.raises(BlockingIOError):
            after.hear(ours)
        after.close()
        slate.close()


@pytest.mark.parametrize("point", ["slate.said", "slate.sent"])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_death_around_a_send_sends_every_byte_once(point: str, size: int) -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()

        def step() -> None:
            slate.say(frame(1, size))
            slate.send(ours)

        assert died_in(step, point)
        after, got = heir(slate), b""
        while len(got) < len(frame(1, size)):
            try:
                got += theirs.recv(1 << 20)
            except BlockingIOError:
                after.send(ours)
        assert got == frame(1, size)
        assert after.unsent == 0
        after.close()
        slate.close()


def test_a_death_before_the_record_is_turned_keeps_the_old_one() -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()
        slate.rest()
        theirs.send(frame(1))
        slate.hear(ours)
        assert died_in(slate.rest, "slate.turned")
        after = heir(slate)
        assert after.unanswered() == frame(1)
        after.close()
        slate.close()


def test_a_frame_over_which_somebody_was_killed_is_said_anew() -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()
        slate.say(frame(0))
        slate.send(ours)
        slate.rest()
        theirs.send(frame(1))
        slate.hear(ours)
        slate.say(frame(1, 100_000)[:8192])  # a SIGKILL ends a write between two pages
        after = heir(slate)
        assert (after.unanswered(), after.unsent) == (frame(1), 0)
        after.say(frame(1))
        after.send(ours)
        assert theirs.recv(1 << 20) == frame(0) + frame(1)
        after.close()
        slate.close()


@pytest.mark.parametrize("point", ["slate.turned", "slate.shortened"])
def test_a_death_while_what_was_said_is_forgotten_asks_nothing_again(point: str) -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()
        slate.rest()
        theirs.send(frame(1))
        slate.hear(ours)
        slate.say(frame(1, 300_000))
        while slate.unsent:
            slate.send(ours)
            theirs.recv(1 << 20)
        assert died_in(slate.rest, point)
        after = heir(slate)
        assert (after.unanswered(), after.unsent) == (b"", 0)
        theirs.send(frame(2))
        after.hear(ours)
        after.say(frame(2))
        last = heir(after)
        assert (last.unanswered(), last.unsent) == (b"", len(frame(2)))
        for each in (last, after, slate):
            each.close()


def test_a_conversation_that_never_rests_does_not_grow() -> None:
    ours, theirs = pair()
    numbers = count(1)
    with ours, theirs:
        slate = Slate()
        slate.rest()
        theirs.send(frame(0))
        slate.hear(ours)  # never answered
        for _ in range(400):
            number = next(numbers)
            theirs.send(frame(number, 4000))
            slate.hear(ours)
            slate.say(frame(number, 4000))
            while slate.unsent:
                slate.send(ours)
                theirs.recv(1 << 20)
        assert slate.unanswered() == frame(0)
        assert os.fstat(slate.fd).st_blocks * 512 < 3_000_000
        slate.say(frame(0))
        slate.send(ours)
        slate.rest()
        assert os.fstat(slate.fd).st_blocks * 512 < 1_000_000
        assert theirs.recv(1 << 20) == frame(0)
        slate.close()


def test_a_large_question_finds_room_and_leaves_none_taken() -> None:
    ours, theirs = pair()
    with ours, theirs:
        slate = Slate()
        slate.rest()
        whole, sent, got = frame(1, 5_000_000), 0, 0
        while got < len(whole):
            if sent < len(whole):
                sent += theirs.send(whole[sent : sent + 100_000])
            got += len(slate.hear(ours))
        assert slate.unanswered() == whole
        slate.say(frame(1))
        slate.rest()
        assert os.fstat(slate.fd).st_blocks * 512 < 200_000
        slate.close()


def test_parts_memory_and_tenure_are_there_for_the_next() -> None:
    before = fds()
    slate = Slate(blank())
    assert (slate.part(Part.FACTS), slate.memory(), tenure_of(slate.fd)) == (b"", b"", None)
    slate.inscribe(Part.FACTS, b"facts")
    slate.inscribe(Part.TOKEN, b"long token")
    slate.inscribe(Part.TOKEN, b"token")
    large = bytes(range(256)) * 400
    for word in (b"first", b"second one", large, b"y" * 100_000):
        slate.remember(word)
        assert slate.memory() == word
    assert died_in(lambda: slate.remember(b"lost"), "slate.remembered")
    slate.hold(1.5, 2.5)
    after = heir(slate)
    assert (after.part(Part.FACTS), after.part(Part.TOKEN), after.memory()) == (b"facts", b"token", b"y" * 100_000)
    assert tenure_of(after.fd) == (1.5, 2.5)
    after.close()
    slate.close()
    assert fds() == before


def test_what_is_written_to_the_log_after_the_end_is_counted_nowhere_and_hurts_nobody() -> None:
    """The thread that writes the logs of all attempts calls this."""
    slate = Slate()
    slate.close()
    slate.count_kept(7)

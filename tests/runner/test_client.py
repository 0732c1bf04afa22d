import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError
from protocol.frames import encode_frame
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.shape import Message
from protocol.messages.variables import GetVariable, VariableResult
from runner.client import Client, Question
from runner.faults import AnswerLost, ChannelGarbled, ChannelLost, ForkedChannel, QuestionFailed
from tests.runner.peers import Peer, echo, peer
from tests.runner.samples import greeting

ROOT = Path(__file__).parent.parent.parent


def client_of(other: Peer, **options: Any) -> Client:
    client = Client(other.childs.detach(), **options)
    other.greet(greeting())
    client.greeted()
    return client


@pytest.fixture
def other() -> Iterator[Peer]:
    with peer() as one:
        yield one


def value(reply: Message | None) -> str | None:
    assert isinstance(reply, VariableResult)
    return reply.value


def test_a_question_is_answered(other: Peer) -> None:
    assert value(client_of(other).ask(GetVariable("k"))) == "k"


def test_the_greeting_is_kept(other: Peer) -> None:
    assert client_of(other).greeting == greeting()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 100_000), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 30), max_size=50),
    rest=st.integers(5_000, 70_000),
)
def test_however_answers_are_cut_each_is_whole(sizes: list[int], cuts: list[int], rest: int) -> None:
    with peer(cuts=itertools.chain(cuts, itertools.repeat(rest))) as other:
        client = client_of(other)
        for number, size in enumerate(sizes):
            name = f"{number}" + "x" * size
            assert value(client.ask(GetVariable(name))) == name


def test_large_values_go_both_ways(other: Peer) -> None:
    name = "x" * 20_000_000
    assert value(client_of(other).ask(GetVariable(name))) == name


def test_what_is_over_the_cap_is_refused_here_and_the_next_question_is_answered(other: Peer) -> None:
    client = client_of(other, cap=10_000)
    with pytest.raises(LocalProtocolError, match="longer than the 10000 that can be sent"):
        client.ask(GetVariable("x" * 20_000))
    assert value(client.ask(GetVariable("k"))) == "k"


def test_what_cannot_be_encoded_is_refused_here_and_the_next_question_is_answered(other: Peer) -> None:
    client = client_of(other)
    with pytest.raises(LocalProtocolError):
        client.ask(GetVariable("\ud800"))
    assert value(client.ask(GetVariable("k"))) == "k"


def test_many_threads_ask_at_once_and_each_gets_its_own_answer(other: Peer) -> None:
    client, wrong = client_of(other), []

    def ask(thread: int) -> None:
        for number in range(200):
            name = f"{thread}-{number}"
            if value(client.ask(GetVariable(name))) != name:
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    ask(99)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert client.late == 0


class Manual:
    """A peer that the test itself plays, in one thread."""

    def __init__(self) -> None:
        self.peer = Peer(echo)
        self.client = Client(self.peer.childs.detach())
        self.peer.greet(greeting())
        self.client.greeted()

    def put(self, name: str) -> Question:
        question = Question(lambda: None)
        self.client.put(question, GetVariable(name))
        assert self.client.flush()
        return question

    def hear(self) -> list[int]:
        return [
            event.id for event in self.peer.session.receive(self.peer.channel.recv(1 << 16)) if hasattr(event, "id")
        ]

    def answer(self, number: int, reply: Message | None) -> None:
        self.peer.send(self.peer.session.answer(number, reply))


@pytest.fixture
def manual() -> Iterator[Manual]:
    one = Manual()
    yield one
    one.peer.close()


def test_a_thread_may_ask_while_the_main_thread_waits_and_be_answered_first(manual: Manual) -> None:
    slow_came, found = threading.Event(), []

    def also() -> None:
        assert slow_came.wait(20)
        found.append(value(manual.client.ask(GetVariable("quick"))))

    def play() -> None:
        [slow] = manual.hear()
        slow_came.set()
        [quick] = manual.hear()
        manual.answer(quick, VariableResult("quick", "quick"))
        manual.answer(slow, VariableResult("slow", "slow"))

    threads = [threading.Thread(target=target) for target in (also, play)]
    for thread in threads:
        thread.start()
    assert value(manual.client.ask(GetVariable("slow"))) == "slow"
    for thread in threads:
        thread.join()
    assert found == ["quick"]


def test_answers_may_come_in_any_order(manual: Manual) -> None:
    woken = [threading.Event(), threading.Event()]
    questions = [Question(event.set) for event in woken]
    for name, question in zip("ab", questions, strict=True):
        manual.client.put(question, GetVariable(name))
    manual.client.flush()
    first, second = manual.hear()
    manual.answer(second, VariableResult("b", "b"))
    manual.answer(first, VariableResult("a", "a"))
    assert all(event.wait(20) for event in woken)
    assert [value(manual.client.answer(question)) for question in questions] == ["a", "b"]


def test_the_late_answer_of_an_abandoned_question_is_dropped(manual: Manual) -> None:
    with pytest.raises(TimeoutError):
        manual.client.ask(GetVariable("slow"), timeout=0)
    [number] = manual.hear()
    arrived = threading.Event()
    question = Question(arrived.set)
    manual.client.put(question, GetVariable("next"))
    manual.client.flush()
    manual.answer(number, VariableResult("slow", "slow"))
    [following] = manual.hear()
    manual.answer(following, VariableResult("next", "next"))
    assert arrived.wait(20)
    assert value(manual.client.answer(question)) == "next"
    assert manual.client.late == 1


def test_an_error_in_the_error_slot_is_raised_in_the_servers_words() -> None:
    error = ErrorResponse(ErrorType.API_SERVER_ERROR, {"status_code": 502, "message": "bad gateway"})
    with peer(lambda _: error) as other:
        client = client_of(other)
        with pytest.raises(QuestionFailed, match=r"bad gateway \(status 502\)") as raised:
            client.ask(GetVariable("k"))
        assert raised.value.error is ErrorType.API_SERVER_ERROR


def test_an_error_in_the_body_slot_is_an_answer() -> None:
    error = ErrorResponse(ErrorType.VARIABLE_NOT_FOUND)
    with peer(lambda _: error) as other:
        assert client_of(other).ask(GetVariable("k")) == error


def test_an_answer_that_cannot_be_read_is_its_askers_problem_only(manual: Manual) -> None:
    arrived = threading.Event()
    question = Question(arrived.set)
    manual.client.put(question, GetVariable("k"))
    manual.client.flush()
    manual.peer.send(encode_frame([question.number, {"type": "Nonsense"}, None]))
    assert arrived.wait(20)
    with pytest.raises(AnswerLost):
        manual.client.answer(question)
    assert manual.client.lost is None


@pytest.mark.parametrize(
    "data", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x01\x01"]
)
def test_garbage_ends_the_channel_for_everybody(other: Peer, data: bytes) -> None:
    client = client_of(other)
    other.hold.clear()
    other.send(data)
    with pytest.raises(ChannelGarbled):
        client.ask(GetVariable("k"))
    with pytest.raises(ChannelGarbled):
        client.ask(GetVariable("k"))
    other.hold.set()


def test_a_frame_that_ends_in_the_middle_is_garbage(other: Peer) -> None:
    client = client_of(other)
    other.hold.clear()
    other.send(b"\x00\x00\x00\x10abc")
    other.channel.shutdown(socket.SHUT_WR)
    with pytest.raises(ChannelGarbled, match="Truncated"):
        client.ask(GetVariable("k"))
    other.hold.set()


def test_a_closed_channel_is_told_to_whoever_waits_and_whoever_asks_next(other: Peer) -> None:
    client = client_of(other)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            client.ask(GetVariable("k"))
        except ChannelLost as lost:
            raised.append(lost)

    other.hold.clear()
    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    other.channel.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    assert len(raised) == 3
    with pytest.raises(ChannelLost):
        client.ask(GetVariable("k"))
    other.hold.set()


def test_nothing_is_greeted_over_a_closed_channel() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(ChannelLost):
        Client(theirs.detach()).greeted()


def test_an_exception_around_an_optional_variable_does_not_hide_a_lost_supervisor() -> None:
    assert not issubclass(ChannelLost, Exception)


def test_a_process_that_the_task_forks_cannot_ask() -> None:
    with peer() as other:
        client = client_of(other)
        keep = os.dup(client._channel)  # noqa: SLF001 - to see that it was closed
        client.forked()
        client.forked()
        with pytest.raises(ForkedChannel):
            client.ask(GetVariable("k"))
        os.close(keep)


# --- interrupts: in processes of their own, because signals are a process's -----------------------------------------


def storm(*what: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.runner.storms", json.dumps(what)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=55)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "cut", "threads"), [(0, 1_000_000, False), (0, 7, False), (0, 1_000_000, True), (400_000, 100_000, False)]
)
def test_an_exception_at_any_moment_of_a_question_leaves_the_channel_right(
    size: int, cut: int, *, threads: bool
) -> None:
    found = storm("points", size, cut, threads)
    assert found["interrupted"] > 40
    assert (found["wrong"], found["fault"]) == (0, "None")


@pytest.mark.slow
def test_a_handler_may_ask_at_any_moment_of_another_question() -> None:
    found = storm("nested")
    assert found["wrong"] == []
    assert found["answered"] > 10


@pytest.mark.slow
@pytest.mark.parametrize(("rounds", "threads"), [(1500, 0), (1000, 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_alarms_leaves_the_channel_right(rounds: int, seed: int, threads: int) -> None:
    found = storm("alarms", rounds, seed, threads)
    assert found["interrupted"] == rounds
    assert (found["wrong"], found["fault"]) == (0, "None")

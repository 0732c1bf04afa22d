"""A program that interrupts a client wherever it can be interrupted, and says what came of it.

`points` goes through every moment at which Python looks for signals while one question is asked, and raises at the
first, then at the second, and so on. That there is something to see each time is the work of a trace function, which
trips a signal before each opcode. It has to be in C: one in Python would run the signal's handler inside of itself.
`alarms` raises from a timer, thousands of times, with no regard for where.
"""

import ctypes
import functools
import itertools
import json
import random
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from protocol.messages.variables import GetVariable, VariableResult
from runner.client import Client
from runner.faults import AskedWhileAsking
from tests.runner.peers import Peer, peer
from tests.runner.samples import greeting


class Interrupted(BaseException):
    pass


class Tripwire:
    """Raises, or calls, at the nth moment Python looks for signals."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.nth = 0
        self.seen = 0
        self._act = act
        self._busy = False
        trip: Any = ctypes.PyDLL(None).PyErr_SetInterruptEx
        trip.argtypes = [ctypes.c_int, ctypes.py_object, ctypes.py_object, ctypes.py_object]
        trip.restype = None
        self._trip = functools.partial(trip, int(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, self._handle)

    def _handle(self, _signum: int, _frame: FrameType | None) -> None:
        if self._busy or not self.nth:
            return
        self.seen += 1
        if self.seen == self.nth:
            sys.settrace(None)
            self._busy = True
            try:
                self._act()
            finally:
                self._busy = False

    def _trace(self, frame: FrameType, _event: str, _arg: object) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes = True
        return self._trip

    def during(self, step: Callable[[], object]) -> object:
        self.seen = 0
        sys.settrace(self._trace)
        try:
            return step()
        finally:
            sys.settrace(None)


def names() -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"k{next(numbers)}"


def right(client: Client, name: str) -> bool:
    reply = client.ask(GetVariable(name))
    return isinstance(reply, VariableResult) and reply.key == reply.value == name


def client_of(other: Peer) -> Client:
    client = Client(other.childs.detach())
    other.greet(greeting())
    client.greeted()
    return client


def raise_it() -> None:
    raise Interrupted


def points(size: int, cut: int, *, threads: bool) -> dict[str, Any]:
    """Interrupt one question at each point in turn; after each, two more must be answered right."""
    name, wrong, interrupted = names(), 0, 0
    with peer(cuts=itertools.repeat(cut)) as other:
        client = client_of(other)
        if threads:
            thread = threading.Thread(target=right, args=(client, "first"))
            thread.start()
            thread.join()
        wire = Tripwire(raise_it)
        for nth in itertools.count(1):
            wire.nth = nth
            asked = name() + "x" * size
            try:
                wire.during(functools.partial(client.ask, GetVariable(asked)))
            except Interrupted:
                interrupted += 1
            reached, wire.nth = wire.seen, 0
            wrong += not right(client, name())
            wrong += not right(client, name())
            if reached < nth:
                break
        return {"interrupted": interrupted, "wrong": wrong, "late": client.late, "fault": repr(other.fault)}


def nested() -> dict[str, Any]:
    """Ask from a handler at each point of another question: both answers are right, or the second is refused."""
    name, wrong, refused, answered = names(), [], 0, 0
    with peer() as other:
        client = client_of(other)

        def act() -> None:
            nonlocal refused, answered
            try:
                wrong.extend([] if right(client, name()) else ["inner"])
                answered += 1
            except AskedWhileAsking:
                refused += 1

        wire = Tripwire(act)
        for nth in itertools.count(1):
            wire.nth = nth
            asked = name()
            reply = wire.during(functools.partial(client.ask, GetVariable(asked)))
            wrong.extend([] if isinstance(reply, VariableResult) and reply.value == asked else ["outer"])
            if wire.seen < nth:
                break
        return {"wrong": wrong, "refused": refused, "answered": answered}


class Alarm:
    """Raises once from a timer, somewhere."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._armed = False
        signal.signal(signal.SIGALRM, self._handle)

    def arm(self) -> None:
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, self._chance.uniform(1e-6, 2e-4))

    def _handle(self, _signum: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise Interrupted


def alarms(rounds: int, seed: int, *, threads: int) -> dict[str, Any]:
    """Raise from a timer at random moments of thousands of questions, with other threads asking all the while."""
    chance, name, wrong, interrupted = random.Random(seed), names(), [0], 0  # noqa: S311 - no secret
    alarm, over = Alarm(chance), threading.Event()
    sizes = [0] if threads else [0] * 9 + [300_000]
    with peer() as other:
        client = client_of(other)

        def also(prefix: str) -> None:
            for number in itertools.count():
                if over.is_set():
                    return
                wrong[0] += not right(client, f"{prefix}{number}")

        others = [threading.Thread(target=also, args=(f"t{index}-",)) for index in range(threads)]
        for thread in others:
            thread.start()
        for _ in range(rounds):
            try:
                alarm.arm()
                while True:
                    wrong[0] += not right(client, name() + "x" * chance.choice(sizes))
            except Interrupted:
                interrupted += 1
        wrong[0] += not right(client, name())
        over.set()
        for thread in others:
            thread.join()
        return {"interrupted": interrupted, "wrong": wrong[0], "late": client.late, "fault": repr(other.fault)}


def main() -> None:
    what, *args = json.loads(sys.argv[1])
    table: dict[str, Callable[..., dict[str, Any]]] = {
        "points": lambda size, cut, threads: points(size, cut, threads=threads),
        "nested": nested,
        "alarms": lambda rounds, seed, threads: alarms(rounds, seed, threads=threads),
    }
    print(json.dumps(table[what](*args)))  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main()

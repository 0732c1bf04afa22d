"""What the benchmarks' Python children do. By itself, because what is imported here is in every child's memory."""

import os
import signal
import socket
import time

from protocol.messages.variables import GetVariable
from protocol.session import Answered, RunnerSession

WARM_UP = 200

# As a runner does when it is imported: the decoder is then the keeper's, and every child's.
RunnerSession()


def sleeping(frames: int | None, _: int | None) -> int:
    """Be the child: hear the greeting, as every task's child does, say so, and sleep."""
    assert frames is not None
    RunnerSession().receive(os.read(frames, 65536))
    print("asleep", flush=True)
    while True:
        signal.pause()


def asking(frames: int | None, _: int | None) -> int:
    """Be the child: ask, one question after the other, and say how long each took in the middle, in microseconds."""
    assert frames is not None
    session, count = RunnerSession(), int(os.environ["COUNT"])
    with socket.socket(fileno=frames) as channel:
        session.receive(channel.recv(65536))
        times = []
        for _ in range(count + WARM_UP):
            began = time.perf_counter()
            number, data = session.ask(GetVariable("key"))
            channel.sendall(data)
            (event,) = session.receive(channel.recv(65536))
            times.append(time.perf_counter() - began)
            assert isinstance(event, Answered)
            assert event.id == number
    print(sorted(times[WARM_UP:])[count // 2] * 1e6)
    return 0

"""The runtime that docs/wire.md shows is run, so that it stays one."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.shape import Message
from protocol.messages.variables import GetVariable, VariableResult
from protocol.session import Asked, Ended, SupervisorSession
from tests.architecture.layout import ROOT
from tests.protocol.samples import GREETING

(PROGRAM,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "wire.md").read_text(), flags=re.DOTALL)


@contextmanager
def started() -> Iterator[socket.socket]:
    """The program as a child, with our end of its channel."""
    ours, its = socket.socketpair()
    environment = {**os.environ, "TASKHAND_FD": str(its.fileno())}
    command = [sys.executable, "-c", PROGRAM]
    with ours, subprocess.Popen(command, env=environment, pass_fds=[its.fileno()]) as child:
        its.close()
        yield ours
        assert child.wait() == 0


def converse(answer: Message, *, retries: bool) -> list[str]:
    """Answer its first question, acknowledge every other, and give what it asked."""
    session, asked = SupervisorSession(), []
    context = msgspec.structs.replace(GREETING.ti_context, should_retry=retries)
    with started() as channel:
        channel.sendall(session.greet(msgspec.structs.replace(GREETING, ti_context=context)))
        while data := channel.recv(4096):
            for event in session.receive(data):
                assert isinstance(event, Asked)
                asked.append(type(event.message).__name__)
                channel.sendall(session.answer(event.id, answer if isinstance(event.message, GetVariable) else None))
    assert session.receive_end() == [Ended()]
    return asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "retries", "ends"),
    [
        (VariableResult("answer", "42"), False, "SucceedTask"),
        (ErrorResponse(ErrorType.VARIABLE_NOT_FOUND), True, "RetryTask"),
        (ErrorResponse(ErrorType.API_SERVER_ERROR), False, "TaskState"),
    ],
)
def test_the_runtime_of_the_page(answer: Message, *, retries: bool, ends: str) -> None:
    assert converse(answer, retries=retries) == ["GetVariable", ends]

"""Our sessions on a real socket, with the peer's real end at the other side of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_UNIX, SCM_RIGHTS, SOL_SOCKET, socket
from typing import Any

from protocol.session import Asked, Heard, RunnerSession, SupervisorSession, Told
from tests.interop.peers import Peer

FAR_TOO_LONG = 30


@contextmanager
def met(peer: Peer, address: str, do: str, **more: object) -> Iterator[socket]:
    """Have the peer connect to a socket of ours, and close it afterwards."""
    with socket(AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        peer.tell(do, path=address, **more)
        channel, _ = listening.accept()
    channel.settimeout(FAR_TOO_LONG)
    try:
        yield channel
    finally:
        channel.close()


class OurRunner:
    """Our session of a runner, whose supervisor is theirs."""

    def __init__(self, session: RunnerSession, channel: socket) -> None:
        self.session = session
        self.channel = channel
        self.descriptors: list[int] = []

    def told(self) -> Told:
        """Wait for one event."""
        while True:
            data, descriptors = receive(self.channel)
            self.descriptors += descriptors
            if events := self.session.receive(data):
                (event,) = events
                return event


class OurSupervisor:
    """Our session of a supervisor, whose child is theirs."""

    def __init__(self, session: SupervisorSession, channel: socket) -> None:
        self.session = session
        self.channel = channel

    def heard(self, count: int = 1) -> list[Asked]:
        """Wait for some questions."""
        events: list[Heard] = []
        while len(events) < count:
            events += self.session.receive(self.channel.recv(65536))
        return [event for event in events if isinstance(event, Asked)]

    def answer(self, number: int, reply: Any) -> None:
        """Answer one."""
        self.channel.sendall(self.session.answer(number, reply))


def receive(channel: socket) -> tuple[bytes, list[int]]:
    """Give what came, and the descriptors that rode on it."""
    data, messages, _, _ = channel.recvmsg(65536, 64)
    riding = [
        int.from_bytes(content[:4], "little")
        for level, kind, content in messages
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS)
    ]
    return data, riding

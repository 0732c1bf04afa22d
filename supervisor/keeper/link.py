"""What supervisor and keeper say to each other, and the socket they say it over.

A SOCK_SEQPACKET pair: one packet is one message, whole or not at all, and file descriptors ride on exactly the packet
they belong to. Neither side ever blocks on the other: what does not fit the socket waits in a queue on the sender's
side. The keeper says `Exited` before it collects the child and `Reaped` after, so that a keeper killed between the two
leaves either a status that was told or a zombie that the supervisor inherits; there is no moment in which only a dead
process knew. And what was told to a supervisor that died over it, the keeper tells the next one (`Held`, `Forget`).
"""

import array
import contextlib
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

PACKET_CAP = 192 * 1024
"""The largest packet. The kernel's own limit for an unprivileged socket is 208 KiB (net.core.wmem_default)."""
MOST_FDS = 8
BOUND = {"LD_BIND_NOW": "keeper"}
"""Has the linker look all functions up when the keeper starts, and not each in every child that calls it: 20 pages."""


class Kind(StrEnum):
    """How a child starts."""

    PYTHON = "python"
    """Forked from the keeper; the entry is called in it."""
    EXEC = "exec"
    """Forked and replaced by `argv`."""


class Scope(StrEnum):
    """Whom a signal reaches."""

    LEADER = "leader"
    GROUP = "group"
    TREE = "tree"
    """The group, and with SIGKILL everyone who came from the child, whatever sessions and groups they made."""


class Account(msgspec.Struct, frozen=True, array_like=True):
    """Whom a child runs as. Looked up by the supervisor: the keeper has no business with name services."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """What a child and all who come from it may use. None leaves a thing unlimited."""

    memory: int | None = None
    """Bytes, of the whole tree; needs cgroup v2 with the memory controller."""
    pids: int | None = None
    """Processes and threads of the whole tree; cgroup v2, or RLIMIT_NPROC where an account is given."""
    cpu_weight: int | None = None
    """1 to 10,000, as cgroup v2 has it; 100 is everybody's."""
    rlimits: dict[str, int] = msgspec.field(default_factory=dict)
    """By the name after RLIMIT_, in lower case: {"nofile": 1024, "core": 0}. Soft and hard are both set."""
    oom_score_adj: int | None = None
    account: Account | None = None


class SpawnRequest(msgspec.Struct, frozen=True, array_like=True):
    """One child, wholly described. `attempt` names it from now on, and no two that live at a time share a name."""

    attempt: str
    kind: Kind
    argv: tuple[str, ...] = ()
    """For EXEC, what is executed; for PYTHON, what the child finds in `sys.argv`."""
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """Added to the keeper's own environment, which holds no secrets."""
    cwd: str | None = None
    """None: the child's own temporary directory."""
    frames: bool = True
    """Whether it gets a channel for frames on fd 3 and one for log lines on fd 4. On fd 5 each has its leash."""
    limits: Limits = Limits()


class Charge(msgspec.Struct, frozen=True):
    """What a keeper is started with, as JSON: its only argument. `KeeperSettings` says what each means."""

    link_fd: int
    entry: str
    tmp_root: str
    preload: tuple[str, ...] = ()
    cgroup: str | None = None
    open_files: int | None = None
    orphan_grace: float = 10.0
    door_fd: int | None = None
    """Where another supervisor may come to when this one is gone; None: nobody can, and nothing is kept for anybody."""


class Spawn(msgspec.Struct, frozen=True, array_like=True, tag="spawn"):
    """Start this child. With it rides its slate."""

    seq: int
    request: SpawnRequest


class Kill(msgspec.Struct, frozen=True, array_like=True, tag="kill"):
    """Signal this child, if it still runs."""

    attempt: str
    signal: int
    scope: Scope


class Release(msgspec.Struct, frozen=True, array_like=True, tag="release"):
    """Close the duplicates of this child's channels: the supervisor is done with them, and so must the child be."""

    attempt: str


class Forget(msgspec.Struct, frozen=True, array_like=True, tag="forget"):
    """Its outcome is in safety: how this child ended need not be kept any more."""

    attempt: str


class Retire(msgspec.Struct, frozen=True, array_like=True, tag="retire"):
    """Start no more children, and end when the last one has."""


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """Everything is imported. Said to each supervisor, first. With it rides the write end of the leash."""

    pid: int
    start_time: int
    files: list[tuple[str, int, int]]
    """What was imported from outside the standard library: path, mtime in ns, inode. When one changes, so must we."""
    warnings: list[str]


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The keeper cannot serve, and why. It ends after saying so."""

    reason: str


class Spawned(msgspec.Struct, frozen=True, array_like=True, tag="spawned"):
    """The child runs. With it ride the fds: pidfd, stdout, stderr, and with frames also frames and logs."""

    seq: int
    attempt: str
    pid: int
    tmpdir: str
    warnings: list[str] = msgspec.field(default_factory=list)


class Held(msgspec.Struct, frozen=True, array_like=True, tag="held"):
    """A child of a supervisor that is gone, told to the next one. It may have ended; that is said after it.

    With it ride the fds, as with `Spawned`, and its slate after stderr.
    """

    attempt: str
    pid: int
    tmpdir: str
    kind: Kind
    frames: bool


class HeldAll(msgspec.Struct, frozen=True, array_like=True, tag="held-all"):
    """Those were all."""


class SpawnFailed(msgspec.Struct, frozen=True, array_like=True, tag="spawn-failed"):
    """There is no child, and why."""

    seq: int
    attempt: str
    reason: str


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What the child and those it waited for have used, as the kernel counted it."""

    user_s: float
    system_s: float
    max_rss: int
    """Bytes."""
    minor_faults: int
    major_faults: int
    blocks_in: int
    blocks_out: int
    switches: int


class Exited(msgspec.Struct, frozen=True, array_like=True, tag="exited"):
    """The child ended and what was left of its tree has been killed. Exactly one of `code` and `signal` is set."""

    attempt: str
    pid: int
    code: int | None
    signal: int | None
    core: bool


class Reaped(msgspec.Struct, frozen=True, array_like=True, tag="reaped"):
    """Nothing of the child is left, or `left` says how much would not die."""

    attempt: str
    usage: Usage
    oom_kills: int
    strays: int
    """Processes that were still there when the child had ended."""
    left: int
    litter: bool
    """The temporary directory was not empty and is still there: removing a big tree is not the keeper's work."""


ToKeeper = Spawn | Kill | Release | Forget | Retire
ToSupervisor = Ready | Refused | Spawned | Held | HeldAll | SpawnFailed | Exited | Reaped

_encoder = msgspec.msgpack.Encoder()
read_by_keeper: msgspec.msgpack.Decoder[ToKeeper] = msgspec.msgpack.Decoder(ToKeeper)
read_by_supervisor: msgspec.msgpack.Decoder[ToSupervisor] = msgspec.msgpack.Decoder(ToSupervisor)


class TooLargeError(Exception):
    """A message that does not fit a packet: it was not sent."""


class Packet(msgspec.Struct, frozen=True):
    """What came: the bytes and the fds, which are the receiver's from now on. `cut` when it had no room for all fds."""

    data: bytes
    fds: list[int]
    cut: bool


class Link:
    """One end of the pair. It owns its socket, and the fds in its queue until they are sent."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0)
        self._socket = end
        self._queue: deque[tuple[bytes, Sequence[int]]] = deque()

    def fileno(self) -> int:
        """Give the fd to poll; -1 when closed."""
        return self._socket.fileno()

    @property
    def waiting(self) -> bool:
        """Whether there is something to send when there is room."""
        return bool(self._queue)

    def send(self, message: ToKeeper | ToSupervisor, fds: Sequence[int] = ()) -> None:
        """Send now or later, in order; on a closed link, nothing. The fds are duplicated: the caller keeps its own."""
        if self._socket.fileno() == -1:
            return
        data = _encoder.encode(message)
        if len(data) > PACKET_CAP:
            raise TooLargeError(f"{len(data)} bytes for the keeper, where {PACKET_CAP} fit: too many arguments")
        if self._queue or not self._sent(data, fds):
            self._queue.append((data, [os.dup(fd) for fd in fds]))

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._queue and self._sent(*self._queue[0]):
            _, fds = self._queue.popleft()
            for fd in fds:
                os.close(fd)

    def receive(self) -> Packet | None:
        """Take one packet; None when there is none now. An empty one is the end."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                PACKET_CAP, socket.CMSG_LEN(MOST_FDS * 4), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except ConnectionError:
            return Packet(b"", [], cut=False)
        fds = array.array("i")
        for level, what, content in ancillary:
            if level == socket.SOL_SOCKET and what == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return Packet(data, list(fds), cut=bool(flags & socket.MSG_CTRUNC))

    def packets(self) -> Iterator[Packet]:
        """Take what there is; the last is empty if the peer has gone."""
        while (packet := self.receive()) is not None:
            yield packet
            if not packet.data:
                return

    def close(self) -> None:
        """Close the socket and what still waited to be sent. Twice is fine."""
        self._socket.close()
        while self._queue:
            for fd in self._queue.popleft()[1]:
                os.close(fd)

    def _sent(self, data: bytes, fds: Sequence[int]) -> bool:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with contextlib.suppress(ConnectionError):  # the peer has gone: whoever polls learns that by reading
            try:
                self._socket.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return False
        return True

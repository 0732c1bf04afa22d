"""An attempt's slate: what a supervisor knows of it by heart, where the next one finds it.

**Theory.** A supervisor that is killed takes its memory with it, and what it had read from a child's channels. So what
the next one needs in order to go on is not in its memory but on a slate: a piece of memory that has no name (memfd), of
which the keeper is given a duplicate with the wish to start the child; who it is stands there by then. It is written
with single stores and by the kernel, never by a system call of its own that could come too late, and is right after a
SIGKILL between any two instructions:

- *Heard.* The bytes of a child's questions stay on the slate until they are answered. A read goes straight from the
  socket onto it. Only how much that was can be lost, so it is asked first and noted; and whether the read happened is
  seen by a mark that stood where the bytes would come to be. Nothing is read twice, and nothing is missed.
- *Said.* What is said to a child is written onto the slate, and sent from there by `sendfile`: the kernel itself moves
  the file's position, by as much as it sent. An answer is never sent twice, nor begun and not finished.
- *Memory.* What the core remembers: written beside the old, and then one store says which of the two is meant.
- *Tenure.* When to stop and when to be gone, for a keeper that is left alone with the child.

A record is one of two, and a word says which: what is in the other does not count until that word is stored. The
regions lie far apart in a file with holes, which costs nothing.
"""

import contextlib
import fcntl
import mmap
import os
import socket
import struct
import termios
from enum import IntEnum

from supervisor.points import point
from supervisor.unanswered import unanswered, whole

READ_SIZE = 64 * 1024
VERSION = 2
"""Of the layout, and of what `adopting` writes there. Another one is not read, and not written to."""
_MAGIC = b"slate\0\0"
_HEARD = 4096
"""Where the child's bytes are. The page before it has everything of a fixed size."""
_SAID = 2 << 30
_TENURE, _WHICH, _STREAMS, _DUE, _MARK, _MEMORY, _COUNTS = 8, 24, 32, 88, 96, 112, 128
_MEMORIES = (1024, 2560)
_MEMORY_CAP = _MEMORIES[1] - _MEMORIES[0]
_LARGE = (7 << 28, 15 << 27)
"""Where one is that does not fit."""
_STREAM = 24
_FEED = 24
_TIDY = 256 * 1024
_WORD = struct.Struct("Q")
_TWO = struct.Struct("dd")


def blank() -> int:
    """Make one: its fd."""
    fd = os.memfd_create("slate")
    os.ftruncate(fd, _SAID)
    os.lseek(fd, _SAID, os.SEEK_SET)
    return fd


def version_of(fd: int) -> int:
    """Say which version wrote it; 0 where nobody has."""
    head = os.pread(fd, len(_MAGIC) + 1, 0).ljust(len(_MAGIC) + 1, b"\0")
    return head[-1] if head.startswith(_MAGIC) else 0


def tenure_of(fd: int) -> tuple[float, float] | None:
    """Say when to begin to stop, and when to be gone, by the monotonic clock; None where nobody has said it yet."""
    begin, gone_by = _TWO.unpack(os.pread(fd, _TWO.size, _TENURE).ljust(_TWO.size, b"\0"))
    return (begin, gone_by) if gone_by else None


class Part(IntEnum):
    """What is written as a whole, and where."""

    TOKEN = 1 << 29
    FACTS = 1 << 30
    STDOUT = 5 << 28
    STDERR = 21 << 26
    LOG = 11 << 27
    """What came of a line whose end has not come."""
    SECRETS = 3 << 29
    """What is masked in the log. Here and not in the journal: a slate is on no disk."""


class Slate:
    """One slate. It owns the fd."""

    _bytes: mmap.mmap
    _view: memoryview
    _end: int
    _sent: int

    def __init__(self, fd: int | None = None) -> None:
        self.fd = blank() if fd is None else fd
        self._mark = os.urandom(8)
        self._map(_HEARD + READ_SIZE)
        self._bytes[0 : len(_MAGIC) + 1] = _MAGIC + bytes([VERSION])
        self._which = self._word(_WHICH) & 1
        self._start = self._word(self._stream) or _HEARD
        self._at = self._word(self._stream + 8) or _HEARD
        self._base = self._word(self._stream + 16)
        self._tidy_from = _TIDY
        self._settle_read()
        self._settle_said()

    def close(self) -> None:
        """Let go of it. Twice is fine."""
        if self.fd != -1:
            self._view.release()
            self._bytes.close()
            os.close(self.fd)
            self.fd = -1

    # --- what was heard -------------------------------------------------------------------------------------------

    def hear(self, end: socket.socket) -> bytes:
        """Read once from a socket: what came, or nothing at its end. Raises BlockingIOError when there is nothing."""
        size = min(_waiting(end), READ_SIZE)
        if size == 0 and end.recv(1, socket.MSG_PEEK) == b"":
            return b""
        size = size or min(_waiting(end), READ_SIZE)
        at = self._at
        if at + size > len(self._bytes):
            self._map(2 * (at + size))
        mark = self._mark[:size]
        self._view[at : at + len(mark)] = mark
        self._view[_MARK : _MARK + 8] = self._mark
        _WORD.pack_into(self._bytes, _DUE, size)
        point("slate.read")
        count = end.recv_into(self._view[at : at + size])
        point("slate.heard")
        self._at = at + count
        self._store(self._stream + 8, self._at)
        self._store(_DUE, 0)
        found = self._bytes[at : at + count]
        if self._at - self._start > self._tidy_from:
            self._tidy()
        return found

    def rest(self) -> None:
        """Every question that came is answered, and no other has begun: forget what was heard.

        Called after the greeting too: what was said until then answers nothing.
        """
        if self._at > self._start or not self._base:
            self._turn(b"")

    def unanswered(self) -> bytes:
        """Give what came and was not answered, as it came."""
        heard = os.pread(self.fd, self._at - self._start, self._start)
        said = os.pread(self.fd, self._end - self._base, self._base) if _SAID <= self._base < self._end else b""
        return unanswered(heard, said)

    # --- what is said ---------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """How many bytes have not left."""
        return self._end - self._sent

    @property
    def said(self) -> bool:
        """Whether anything was ever said: the first thing is the greeting."""
        return self._end > _SAID or self._base > 0

    def say(self, data: bytes) -> None:
        """Put down what is to be sent."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self.fd, view, self._end)
            self._end += count
            view = view[count:]
        point("slate.said")

    def send(self, end: socket.socket, most: int | None = None) -> int:
        """Send of it what the socket takes. Raises what sending raises."""
        size = self.unsent if most is None else min(most, self.unsent)
        count = os.sendfile(end.fileno(), self.fd, None, size)
        point("slate.sent")
        self._sent += count
        return count

    def pass_on(self, end: socket.socket, size: int, fds: list[int]) -> int:
        """Send so much of it at most, and these fds with its first byte."""
        data = os.pread(self.fd, min(size, self.unsent), self._sent)
        count = socket.send_fds(end, [data], fds)
        self._sent = os.lseek(self.fd, self._sent + count, os.SEEK_SET)
        return count

    # --- what is known --------------------------------------------------------------------------------------------

    def inscribe(self, part: Part, content: bytes) -> None:
        """Write down a part. In one call: a process is killed before it or after it."""
        os.pwrite(self.fd, _WORD.pack(len(content)) + content, part)

    def part(self, part: Part) -> bytes:
        """Give a part; nothing where it was not written."""
        (size,) = _WORD.unpack(os.pread(self.fd, _WORD.size, part).ljust(_WORD.size, b"\0"))
        return os.pread(self.fd, min(size, _SAID - part), part + _WORD.size)

    def remember(self, memory: bytes) -> None:
        """Write down what changes. It fits where it costs no system call; where it does not, there is other room."""
        other = 1 - (self._word(_MEMORY) & 1)
        place = _MEMORIES[other]
        if len(memory) > _MEMORY_CAP:
            os.pwrite(self.fd, memory, _LARGE[other])
        else:
            self._view[place : place + len(memory)] = memory
        point("slate.remembered")
        self._store(_MEMORY, len(memory) << 1 | other)

    def memory(self) -> bytes:
        """Give that; nothing where it was never written."""
        word = self._word(_MEMORY)
        size, which = word >> 1, word & 1
        if size > _MEMORY_CAP:
            return os.pread(self.fd, min(size, _LARGE[1] - _LARGE[0]), _LARGE[which])
        return self._bytes[_MEMORIES[which] : _MEMORIES[which] + size]

    def count_read(self, total: int) -> None:
        """Say how many bytes of the child's words were read; more by one while a read is under way."""
        self._store(_COUNTS, total)

    def count_kept(self, total: int) -> None:
        """Say how many of them are in the log. Called by the thread that writes it."""
        with contextlib.suppress(ValueError, TypeError):  # the attempt is over: what `struct` says of a closed map
            self._store(_COUNTS + 8, total)

    def counted(self) -> tuple[int, int]:
        """Give both."""
        return self._word(_COUNTS), self._word(_COUNTS + 8)

    def hold(self, begin: float, gone_by: float) -> None:
        """Say until when the attempt is ours."""
        _TWO.pack_into(self._bytes, _TENURE, begin, gone_by)

    # --- below ----------------------------------------------------------------------------------------------------

    @property
    def _stream(self) -> int:
        """Where the record of the stream is that counts: start, end, and where the answers to it begin."""
        return _STREAMS + _STREAM * self._which

    def _turn(self, kept: bytes) -> None:
        """Begin anew with this."""
        # Where it does not touch what counts until the record is turned.
        start = _HEARD if _HEARD + len(kept) <= self._start or not kept else self._at
        os.pwrite(self.fd, kept, start)
        other = _STREAMS + _STREAM * (1 - self._which)
        self._start, self._at, self._base = start, start + len(kept), self._end
        for place, value in ((0, self._start), (8, self._at), (16, self._base)):
            self._store(other + place, value)
        point("slate.turned")
        self._which = 1 - self._which
        self._store(_WHICH, self._which)
        if not kept and self._end == self._sent and self._end - _SAID > _TIDY:
            self._forget_said()
        if self._at == _HEARD and len(self._bytes) > 4 * READ_SIZE:
            self._bytes.madvise(mmap.MADV_REMOVE, _HEARD, len(self._bytes) - _HEARD)
            self._map(_HEARD + READ_SIZE)

    def _forget_said(self) -> None:
        """Give back the room of what was sent. The questions that it answers are forgotten already."""
        os.ftruncate(self.fd, _SAID)
        point("slate.shortened")
        self._sent = self._end = os.lseek(self.fd, _SAID, os.SEEK_SET)
        self._answers_from(_SAID)

    def _answers_from(self, at: int) -> None:
        self._base = at
        self._store(self._stream + 16, at)

    def _tidy(self) -> None:
        """Forget what was answered of a conversation that never rests."""
        left = self.unanswered()
        self._turn(left)
        self._tidy_from = max(_TIDY, 2 * len(left))  # a frame that is larger than that is not looked at again and again

    def _map(self, size: int) -> None:
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        old: mmap.mmap | None = getattr(self, "_bytes", None)
        if old is not None:
            self._view.release()
            old.close()
        self._bytes = mmap.mmap(self.fd, size)
        self._view = memoryview(self._bytes)

    def _settle_read(self) -> None:
        """Take what the last supervisor had read in the moment of its end: there, if its mark is not."""
        due = self._word(_DUE)
        if due:
            mark = os.pread(self.fd, min(due, 8), self._at)
            if mark != self._bytes[_MARK : _MARK + 8][:due]:
                self._at += due
                self._store(self._stream + 8, self._at)
            self._store(_DUE, 0)

    def _settle_said(self) -> None:
        """Take what the last supervisor had put down, less a frame over which it was killed: that is said anew."""
        size = max(os.fstat(self.fd).st_size, _SAID)
        if self._base > size:  # it was killed over forgetting what was said
            self._answers_from(_SAID)
        since = max(self._base, _SAID)
        self._end = since + whole(os.pread(self.fd, size - since, since))
        os.ftruncate(self.fd, self._end)
        self._sent = min(os.lseek(self.fd, 0, os.SEEK_CUR), self._end)
        os.lseek(self.fd, self._sent, os.SEEK_SET)

    def _word(self, at: int) -> int:
        value: int = _WORD.unpack_from(self._bytes, at)[0]
        return value

    def _store(self, at: int, value: int) -> None:
        """One store of the processor's: native and aligned, so that it is there or not."""
        _WORD.pack_into(self._bytes, at, value)


def _waiting(end: socket.socket) -> int:
    """How many bytes wait to be read."""
    found = fcntl.ioctl(end, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(found, "little")

"""What `worker exec` could not tell, left for the next worker on its state directory.

One that has a single piece of work holds no journal: several may share a state directory, and a journal has one
holder. Nor does anything of it wait for the disk, because whoever started it learns from its exit code what was told.
But when it has to end, and the server still does not know how the attempt ended, that is written into a file of its
own beside the journal. It holds a journal's records, so the next worker (`worker run`, `worker up`) takes it in with
its own journal and delivers it like any other, and `worker outbox` lists it until then.

It is written under another name and renamed, so it is there whole or not at all; and it is removed when the journal
that took it in is on the disk. Told twice is no harm: the server knows an outcome again.
"""

import contextlib
import os
import time
from pathlib import Path
from uuid import UUID

from supervisor.journal import Note, Opened, Story, frame
from supervisor.journal_files import left_in
from supervisor.keeper.identity import start_time
from supervisor.leftovers import boot_id


class Memo:
    """What is owed, by heart: kept like a journal, and written down once, when it is known to be left over."""

    def __init__(self, folder: Path, worker: str, url: str) -> None:
        me = os.getpid()
        self.opened = Opened(1, worker, me, start_time(me), boot_id(), url, time.time())
        self._folder = folder
        self._story = Story()

    def append(self, record: Note) -> None:
        """Keep it in mind."""
        self._story.take(record)

    async def commit(self, record: Note) -> bool:
        """Keep it in mind; it is not durable."""
        self._story.take(record)
        return False

    def owes(self, ti: bytes) -> bool:
        """Whether the server is still to be told of this attempt."""
        return ti in self._story.entries

    def leave(self) -> list[Path]:
        """Write down what is owed: a file for each attempt. Raises OSError."""
        return [self._leave(ti) for ti in self._story.entries]

    def _leave(self, ti: bytes) -> Path:
        place = left_in(self._folder)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = place / f"{UUID(bytes=ti)}.journal"
        half = file.with_suffix(f".{self.opened.pid}.half")
        data = b""
        for record in (self.opened, *self._story.entries[ti].records()):
            data += frame(record, 0, len(data))
        try:
            with open(half, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            half.replace(file)
        finally:
            with contextlib.suppress(OSError):
                half.unlink()
        return file

"""A dump of stacks as `faulthandler` writes it, put into an order for whoever wrote the task. Core.

It is written by C, while the interpreter may hang: the last thread that was made is first, and the one that runs the
task is last, above twenty frames by which the task was called. Here the task's threads come first, the main one before
the others; what led to the task is left out below it; and threads that are ours alone come last, whole and called so.

What does not look like a dump passes unchanged, each line in its place: a task may have printed in the middle of one.
It comes in pieces, so whoever asks for one has stderr held back for a moment, by these limits.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

HOLD_S = 0.5
"""Longer than a dump takes; its child is killed before, as a rule, and then that is the end of it."""
MOST_HELD = 512 * 1024
"""A hundred threads of fifty frames: as many as faulthandler writes, with paths of a usual length."""
_HEADER = re.compile(r"(Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):")
_FRAME = re.compile(r'  (?:File "(?P<file>.*)", line \S+ in .*|\.\.\.|<.*>)')
_STANDARD = re.compile(r"<frozen .*|.*/lib(?:64)?/python3\.\d+/(?!(?:site|dist)-packages/).*")
_ROOT = __file__.rpartition("/")[0].rpartition("/")[0]
OURS = tuple(f"{_ROOT}/{package}/" for package in ("protocol", "runner", "supervisor"))
_STARTED_BY = "<frozen runpy>"


class _Thread(Struct):
    """One thread of a dump."""

    header: str
    frames: list[str]

    @property
    def rank(self) -> int:
        """Where it comes: the one that was interrupted, the others, ours."""
        if self.is_ours:
            return 2
        return 0 if self.header.startswith("Current") else 1

    @property
    def is_ours(self) -> bool:
        """Whether the task is nowhere in it."""
        files = [_file(frame) for frame in self.frames]
        return any(map(_is_ours, files)) and all(_is_ours(file) or _STANDARD.fullmatch(file) for file in files)

    def lines(self) -> Iterator[str]:
        """Write it."""
        if self.is_ours:
            yield f"{self.header} Taskhand's own"
            yield from self.frames
            return
        yield self.header
        led = _leading(self.frames)
        yield from self.frames[: len(self.frames) - led]
        if led:
            yield f"  … {led} frames of Taskhand's, which led to the task, left out …"


def shaped(text: bytes) -> bytes:
    """Give a text with the dumps in it put into order."""
    lines, done, at = text.decode("utf-8", "surrogateescape").split("\n"), list[str](), 0
    while at < len(lines):
        threads, end = _dump(lines, at)
        if threads:
            done.append("\n\n".join("\n".join(each.lines()) for each in sorted(threads, key=lambda each: each.rank)))
        else:
            done.append(lines[at])
        at = max(end, at + 1)
    return "\n".join(done).encode("utf-8", "surrogateescape")


def _dump(lines: Sequence[str], at: int) -> tuple[list[_Thread], int]:
    """Read the dump that begins here: its threads, and where it ends."""
    threads: list[_Thread] = []
    end = at
    while at < len(lines) and _HEADER.fullmatch(lines[at]):
        end = at + 1
        while end < len(lines) and _FRAME.fullmatch(lines[end]):
            end += 1
        threads.append(_Thread(lines[at], [*lines[at + 1 : end]]))
        if lines[end : end + 1] != [""]:
            break
        at = end + 1
    return threads, end


def _leading(frames: Sequence[str]) -> int:
    """Count the frames at the bottom that are ours."""
    for count, frame in enumerate(reversed(frames)):
        file = _file(frame)
        if not _is_ours(file) and file != _STARTED_BY:
            return count if count and any(_is_ours(_file(each)) for each in frames[-count:]) else 0
    return 0


def _is_ours(file: str) -> bool:
    return file.startswith(OURS)


def _file(frame: str) -> str:
    found = _FRAME.fullmatch(frame)
    return "" if found is None else found["file"] or ""

"""What to say when the system refuses something about a place: which one, what is wrong, and what to do. Core.

A number of the system's (`[Errno 28]`) says nothing to whoever has to mend it, and a traceback says where we are, not
where the disk is full.
"""

import errno
from collections.abc import Mapping

ANOTHER = "or name another place with --state-dir or TASKHAND_HOME"

TO_DO: Mapping[int, str] = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room in this user's quota",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EROFS: "mount that disk for writing",
    errno.ENOTDIR: "move the file away that stands where a directory has to be",
    errno.EEXIST: "move the file away that stands where a directory has to be",
    errno.EISDIR: "move the directory away that stands where a file has to be",
    errno.ENAMETOOLONG: "give it a shorter name",
}
FREED = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What others cause and others end: who tries again later may find it otherwise."""
ANYWHERE: Mapping[int, str] = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the machine's limit of open files (fs.file-max)",
}
"""What no other place would help with."""


class PlaceError(Exception):
    """A place that is of no use, and what to do about it."""


def trouble(error: OSError, place: object, another: str = ANOTHER) -> str:
    """Say it in words. `place` is what was meant, where the error does not know it."""
    number = error.errno or 0
    if number in ANYWHERE:
        return f"{error.strerror}; {ANYWHERE[number]}"
    where = place if error.filename is None else error.filename
    to_do = TO_DO.get(number, "see that this user can make files and directories there")
    return f"{where}: {error.strerror or error}; {to_do}, {another}"


def is_freed(error: BaseException | None) -> bool:
    """Whether it comes from a want of room: then the same call may be carried out later, with nothing changed."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FREED:
            return True
        error = error.__cause__
    return False

"""Who a process is: its pid and the moment the kernel started it. A pid alone names whoever has it now."""

import os


class GoneError(Exception):
    """There is no such process any more."""


def read_small(path: str) -> bytes:
    """Read a file of the kernel's, which is as long as one read says, or a few more."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while part := os.read(fd, 65536):
            content += part
    finally:
        os.close(fd)
    return content


def stat_fields(pid: int) -> list[bytes]:
    """Give /proc/PID/stat from the third field (state) on: the second, the name, may hold spaces and parentheses."""
    try:
        content = read_small(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise GoneError(f"no process {pid}") from error
    return content[content.rindex(b")") + 2 :].split()


def start_time(pid: int) -> int:
    """When the kernel started it, in clock ticks since boot."""
    return int(stat_fields(pid)[19])

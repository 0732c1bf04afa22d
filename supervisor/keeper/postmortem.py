"""How a process ended that another than us collects: what the kernel still knows of it.

Only a parent is told a status. But who has held a pidfd of the process may ask what is kept with that after its
collection (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15); before it is collected, its line in /proc says it too.
An older kernel, and a collector that is quicker than our look, leave nothing to ask: then nobody knows.
"""

import fcntl
import os
import struct

from supervisor.keeper.identity import GoneError, stat_fields

_INFO = struct.Struct("QQ11Ii")
"""`struct pidfd_info`: mask, cgroup, eleven ids, and the wait status."""
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3
_STATE, _STARTED, _STATUS = 0, 19, 49


def status_of(pidfd: int, pid: int, started: int) -> int | None:
    """Give the wait status of a process that has ended; None where it is not known, or not yet."""
    asked = bytearray(_INFO.pack(_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, asked)
    except OSError:  # the kernel is older
        return _of_zombie(pid, started)
    found = _INFO.unpack(asked)
    return int(found[-1]) if found[0] & _EXIT else _of_zombie(pid, started)


def _of_zombie(pid: int, started: int) -> int | None:
    """Ask before it is collected. To whom it is not shown the kernel says 0, so whose it is is asked as well."""
    try:
        fields, owner = stat_fields(pid), os.stat(f"/proc/{pid}").st_uid
    except (GoneError, OSError):
        return None
    if fields[_STATE] != b"Z" or int(fields[_STARTED]) != started or os.geteuid() not in {0, owner}:
        return None
    return int(fields[_STATUS])

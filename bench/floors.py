"""What a child costs at least: a fork and an exit of a Python like the keeper, which has imported what children need.

In a process of its own (`python -m bench.floors COUNT`), because a fork pays for the size of who forks, and a benchmark
has imported more than a keeper.
"""

import gc
import os
import resource
import subprocess
import sys

import runner.child  # noqa: F401 - what the keeper has imported is what its forks copy


def spent() -> float:
    """Give the CPU of this process and of all it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def fork_ms(count: int) -> float:
    """Give the milliseconds of CPU of a fork and an exit."""
    command = [sys.executable, "-m", "bench.floors", str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(count: int) -> None:
    """Fork and wait so many times."""
    gc.collect()
    gc.freeze()
    before = spent()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    print((spent() - before) / count * 1e3)


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Where a test may have this process die: named points on the way of a checkpoint, and of an outcome.

`TASKHAND_CRASH=name` or `name@3` (the third time it is reached) makes the process kill itself there, as a machine that
loses its power would. Without it, which is always but in those tests, a point is a function that does nothing.
"""

import os
import signal
from collections.abc import Callable


def _go_on(_name: str) -> None:
    """Nothing is armed."""


_reached: Callable[[str], None] = _go_on
_wanted = ""


def point(name: str) -> None:
    """Pass a point."""
    _reached(name)


def armed(name: str) -> bool:
    """Whether this point is armed: for one in the middle of a write, which has to be made in two then."""
    return _wanted == name


def arm(wanted: str | None) -> None:
    """Have the process die at a point; None at none. Called by the entry point, which has read the environment."""
    global _reached, _wanted  # noqa: PLW0603 - one process has one death, and this says which
    _wanted = (wanted or "").partition("@")[0]
    _reached = _go_on if not wanted else _deadly(wanted)


def _deadly(wanted: str) -> Callable[[str], None]:
    name, _, count = wanted.partition("@")
    left = [int(count or 1)]

    def reached(here: str) -> None:
        if here == name:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached

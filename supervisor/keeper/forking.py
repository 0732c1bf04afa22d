"""What `threading` and `logging` want done in a forked child, and who needs it.

They make their locks anew there, because another thread may have held them when the process was forked. The keeper has
one thread and holds none of them, so that its children have nothing to mend; and mending costs each of them 160 pages,
0.4 ms. A child may have threads when it forks, and needs it then. So what the two ask for while the keeper imports is
noted, and asked for by each child. What other modules ask for is done at every fork.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Hooks = dict[str, Callable[[], object]]
_LOCKS = {"threading", "logging"}

register = os.register_at_fork


@contextmanager
def noted() -> Iterator[list[Hooks]]:
    """Note what is asked for within, for `register` in the children. Who has threads needs it at once, and gets it."""
    kept: list[Hooks] = []

    def note(**hooks: Callable[[], object]) -> None:
        asker = getattr(hooks.get("after_in_child"), "__module__", None)
        kept.append(hooks) if asker in _LOCKS else register(**hooks)

    os.register_at_fork = note  # type: ignore[assignment]  # its signature names the three arguments
    try:
        yield kept
    finally:
        os.register_at_fork = register
        if len(os.listdir("/proc/self/task")) > 1:
            while kept:
                register(**kept.pop(0))

"""One JSON object a line in, one a line out: `{"do": name, …}` to what that name gives.

write {union}            every sample of theirs, as their bytes and its value
read {union, frames}     each frame, as the value theirs took it for
supervise {path, …}      connect to this socket as their supervisor, greeting if asked to
serve {status}           take one question there, with an API server that has this status
run {path}               connect to this socket as their task's child, and take the greeting
ask {type}               ask one question there, and give what came of it
trigger {path, types}    connect as their trigger runner, take the greeting, ask all of these at once
end {}                   close the socket
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.interop.peer import child, clerk, wire


def end() -> None:
    """Close what is open."""
    clerk.end()
    child.end()


ACTIONS: dict[str, Callable[..., Any]] = {
    "write": lambda union: list(wire.write(union)),
    "read": lambda union, frames: list(wire.read(union, frames)),
    "supervise": clerk.supervise,
    "serve": clerk.serve,
    "run": child.run,
    "ask": child.ask,
    "trigger": child.trigger,
    "end": end,
}


def main() -> None:
    """Serve until the end of the input."""
    # The peers log to standard output; what is said to the test goes there too, so theirs is turned to standard error.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        action = ACTIONS[request.pop("do")]
        said.write(json.dumps(action(**request)) + "\n")
        said.flush()


if __name__ == "__main__":
    main()

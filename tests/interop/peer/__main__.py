"""One JSON object a line in, one a line out: `{"do": name, …}` to what that name gives.

write {union}            every sample of theirs, as their bytes and its value
read {union, frames}     each frame, as the value theirs took it for
echo {union, frames}     each question, as their own bytes of what they took it for
unwritable {value}       the name of the error that writing this value raises
supervise {path, …}      connect to this socket as their supervisor, greeting if asked to
serve {status}           take one question there, with an API server that answers with this status
run {path}               connect to this socket as their task's child, and take the greeting
ask {type}               ask one question there, and give what came of it
trigger {path, types}    connect as their trigger runner, take the greeting, ask all of these at once
end {}                   close the socket
"""

import json
import os
import sys
import traceback
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
    "echo": lambda union, frames: list(wire.echo(union, frames)),
    "unwritable": wire.unwritable,
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
        try:
            came = {"came": action(**request)}
        except Exception:  # noqa: BLE001 - told to the test, which fails; the next test has a peer all the same
            came = {"fault": traceback.format_exc()}
        said.write(json.dumps(came) + "\n")
        said.flush()


if __name__ == "__main__":
    main()

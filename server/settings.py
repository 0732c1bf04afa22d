"""What the server's commands are told by the environment. Only this module of the package reads it.

`TASKHAND_HOME` is the state directory: secret, tokens, database, logs. `TASKHAND_SERVER` and `TASKHAND_TOKEN` say
where a command finds the server and as whom; without them it looks into the state directory, where a server on this
machine has left both. `TASKHAND_SECRET` is what a server signs tokens with, for several that share a database and no
state directory. `TASKHAND_KEYS` is what variables and connections are encrypted with: Fernet keys with commas between,
of which the first one encrypts.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

PORT = 8710
HOST = "127.0.0.1"
URL_FILE, WORKER_TOKEN_FILE, USER_TOKEN_FILE = "server-url", "worker-token", "user-token"


class Surroundings(Struct, frozen=True):
    """What the environment says."""

    home: Path
    server: str | None = None
    token: str | None = None
    secret: str | None = None
    """What servers that share a database sign with."""
    notify_socket: str | None = None
    """Where systemd wants to hear of readiness."""
    keys: tuple[str, ...] = ()
    """What values are kept sealed with."""
    crash: str | None = None
    """Where a test has this process die."""


def surroundings(environment: Mapping[str, str] | None = None) -> Surroundings:
    """Read the environment."""
    env = os.environ if environment is None else environment
    said = env.get("TASKHAND_HOME", "")
    if said.partition("/")[0] == "~":  # of a unit or a container: no shell has read it. A worker means this by it
        said = env.get("HOME", "/") + said[1:]
    home = Path(said or Path(env.get("HOME", "/")) / ".taskhand")
    return Surroundings(
        home=home,
        server=env.get("TASKHAND_SERVER") or None,
        token=env.get("TASKHAND_TOKEN") or None,
        secret=env.get("TASKHAND_SECRET") or None,
        notify_socket=env.get("NOTIFY_SOCKET") or None,
        keys=tuple(key.strip() for key in env.get("TASKHAND_KEYS", "").split(",") if key.strip()),
        crash=env.get("TASKHAND_CRASH") or None,
    )

"""What the child is told by its environment. Read once, by the entry point."""

import os

import msgspec
from msgspec import Struct

FRAMES = "TASKHAND_FD"
LOGS = "TASKHAND_LOG_FD"
BUNDLES = "TASKHAND_BUNDLES"
BLOBS = "TASKHAND_BLOBS"
CRASH = "TASKHAND_CRASH"


class Settings(Struct, frozen=True):
    """Where things are."""

    roots: dict[str, str]
    """Each bundle's root. `local` is the whole file system, so that a flow is where its author has it."""
    blobs: str | None = None
    """Where checkpoints' files are kept: a folder, or a URL."""
    crash: str | None = None
    """Where a test has this process die."""


def read() -> Settings:
    """Read the environment."""
    bundles, blobs = os.environ.get(BUNDLES), os.environ.get(BLOBS)
    roots = {"local": "/"} | (msgspec.json.decode(bundles) if bundles else {})
    return Settings(roots, blobs or None, os.environ.get(CRASH))


def descriptors() -> tuple[int, int]:
    """Read which descriptors are the channels, for a child that was executed and not forked."""
    try:
        return int(os.environ[FRAMES]), int(os.environ[LOGS])
    except (KeyError, ValueError) as error:
        raise SystemExit(f"this program is started by a Taskhand worker, which sets {FRAMES} and {LOGS}") from error

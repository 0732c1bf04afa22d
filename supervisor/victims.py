"""Who is to yield when memory runs out, before the kernel chooses. Core: `watching` reads the files.

The kernel kills whom it likes, and what that one did is lost. Whoever is asked to checkpoint first loses next to
nothing: so one that can be begun again, then one that saves at all, then the one that frees most, and among those of a
size the one that has saved last.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

KeyT = TypeVar("KeyT")


class Candidate(Struct, frozen=True):
    """An attempt, as far as this choice cares."""

    retriable: bool
    checkpointing: bool
    memory: int
    lost_s: float
    """The seconds of work that are not in a checkpoint."""


def choose(candidates: Mapping[KeyT, Candidate]) -> KeyT | None:
    """Give the best victim. Sizes count by their power of two: a few bytes more do not outweigh hours of work."""
    if not candidates:
        return None
    return max(candidates, key=lambda key: _rank(candidates[key]))


def _rank(one: Candidate) -> tuple[bool, bool, int, float]:
    return one.retriable, one.checkpointing, one.memory.bit_length(), -one.lost_s


def pressure(text: str) -> float | None:
    """Read `memory.pressure` of a control group or of the machine: the percentage of time in which all stood still."""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "full":
            values = dict(part.partition("=")[::2] for part in rest.split())
            try:
                return float(values.get("avg10", ""))
            except ValueError:
                return None
    return None


def end_of(text: str, now: datetime, short_s: float) -> datetime | None:
    """Read when this machine ends: a moment (ISO or seconds), JSON with a `time`, or a bare TRUE: soon."""
    said = text.strip()
    if said.startswith("{"):
        try:
            said = str(msgspec.json.decode(said, type=dict[str, object]).get("time", ""))
        except msgspec.MsgspecError:
            return None
    if said.upper() == "TRUE":
        return datetime.fromtimestamp(now.timestamp() + short_s, UTC)
    try:
        return datetime.fromtimestamp(float(said), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

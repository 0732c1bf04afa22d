"""What a worker watches besides its attempts: how short of memory it is, and whether its machine is about to end.

Both become stops. The files and addresses are read here; what they mean is said by `victims`, when to ask by `rhythm`.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from supervisor.keeper.cgroups import own_group
from supervisor.rhythm import Times
from supervisor.victims import end_of, pressure

MACHINE = Path("/proc/pressure/memory")
EVERY_S = 1.0
AGAIN_S = 10.0
"""Until another one is asked: the average of the pressure needs as long to show that the first has helped."""
ANSWER_S = 2.0
LARGEST = 65536


async def pressed(limit: float, yield_one: Callable[[], bool], file: str = "") -> None:
    """Have one attempt yield whenever the pressure is above a limit, in per cent; nothing where it cannot be read."""
    group = own_group()
    places = [Path(file)] if file else [*([group / "memory.pressure"] if group else []), MACHINE]
    found = next((each for each in places if each.is_file()), None)
    while found is not None and limit > 0:
        text = ""
        with contextlib.suppress(OSError):
            text = found.read_text()
        asked = (pressure(text) or 0.0) >= limit and yield_one()
        await asyncio.sleep(AGAIN_S if asked else EVERY_S)


async def noticed(where: str, every_s: float, soon_s: float) -> datetime:
    """Wait for word that this machine ends, in a file, at an http address, or from a function `module:name`."""
    while True:
        text = await asyncio.to_thread(_read, where)
        moment = end_of(text, datetime.now(UTC), soon_s) if text else None
        if moment is not None:
            return moment
        await asyncio.sleep(every_s)


def _read(where: str) -> str:
    """Give what is said there; nothing when there is nothing, or nobody."""
    try:
        if where.startswith(("http://", "https://")):
            import urllib.request  # noqa: PLC0415 - brings `email`, and few workers are told at an address

            with urllib.request.urlopen(where, timeout=ANSWER_S) as answer:  # noqa: S310 - the operator's own address
                content: bytes = answer.read(LARGEST)
                return content.decode(errors="replace")
        module, colon, name = where.partition(":")
        if colon and "/" not in where:
            said = getattr(import_module(module), name)()
            return said.isoformat() if isinstance(said, datetime) else str(said or "")
        return Path(where).read_text()[:LARGEST]
    except (OSError, ValueError, ImportError, AttributeError):
        return ""


def remembered(file: Path) -> Times:
    """Give what earlier workers of this machine have learned."""
    try:
        known = json.loads(file.read_text())
        return Times({str(task): float(seconds) for task, seconds in known.items()})
    except (OSError, ValueError, AttributeError, TypeError):
        return Times()


def remember(file: Path, times: Times) -> None:
    """Keep it for those to come, whole or not at all."""
    half = file.with_suffix(".tmp")
    with contextlib.suppress(OSError):
        half.write_text(json.dumps(times.known))
        half.replace(file)

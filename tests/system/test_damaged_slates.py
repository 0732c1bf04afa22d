"""One slate is damaged while no worker is there: its attempt is told of with the reason, and no other notices."""

import os
import select
from pathlib import Path

import pytest

from supervisor.keeper import doors
from supervisor.keeper.link import Held, HeldAll, Link, read_by_supervisor
from supervisor.slate import Part
from tests.system.leaving import lives
from tests.system.test_adoption import World, world
from tests.system.test_adoption_points import waiting_in
from tests.system.test_commands import PLAIN
from tests.system.world import play

pytestmark = pytest.mark.slow

DAMAGE = {
    "facts": (Part.FACTS, b"\x03\0\0\0\0\0\0\0\xc1\xc1\xc1", "what stands on its slate cannot be read"),
    "memory": (112, b"\xff" * 8, "what stands on its slate cannot be read"),
    "stream": (32, b"\xff" * 48, "what stands on its slate cannot be gone on from: "),
    "token": (Part.TOKEN, b"\x01\0\0\0\0\0\0\0\xff", "what stands on its slate cannot be gone on from: "),
    "secrets": (Part.SECRETS, b"\x01\0\0\0\0\0\0\0\xc1", "what stands on its slate cannot be gone on from: "),
}


def slates(folder: Path) -> dict[str, int]:
    """Give the slate of each attempt: as a worker would come to it, that goes again at once."""
    [place] = doors.found(str(folder / "keepers"))
    end = doors.knock(place)
    assert end is not None
    link, found = Link(end), {}
    while True:
        select.select([link.fileno()], [], [])
        packet = link.receive()
        assert packet is not None
        message = read_by_supervisor.decode(packet.data)
        if isinstance(message, Held):
            found[message.attempt] = packet.fds.pop(3)
        for fd in packet.fds:
            os.close(fd)
        if isinstance(message, HeldAll):
            link.close()
            return found


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_slate_costs_its_own_attempt_and_no_other(tmp_path: Path, what: str) -> None:
    where, content, why = DAMAGE[what]

    async def scenario() -> tuple[World, str]:
        async with world(tmp_path) as found:
            await found.start()
            one, other = (found.give(task_id=name, command=waiting_in(tmp_path), **PLAIN) for name in ("one", "other"))
            await found.here(2)
            await found.running()
            await found.kill()
            held = slates(tmp_path)
            os.pwrite(held[one], content, where)
            for fd in held.values():
                os.close(fd)
            leaders = [pid for pid in found.children() if os.getpgid(pid) == pid]
            await found.start()
            await found.api.until(lambda api: api.states[one] != "running")
            assert sum(map(lives, leaders)) == 1
            assert found.api.states[other] == "running"
            found.go()
            await found.told()
            await found.stop()
        return found, one

    found, one = play(scenario())
    assert found.ends() == [[("failed", "lost")], [("failed", "app")]]
    assert f"attempt {one} cannot be adopted, and what runs of it is killed: {why}" in found.complaints
    assert any(line.startswith(why) for line in found.lines())

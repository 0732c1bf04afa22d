"""What goes wrong, and what people do meanwhile. Each says whether it struck anything."""

import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from server.faults import CallerError, StoreError
from tests.simulation.children import KILL
from tests.simulation.plan import Blow

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.serving import Server
    from tests.simulation.supervising import Site

Strike = Callable[["History", Blow, "Site"], bool]

# --- processes --------------------------------------------------------------------------------------------------------


def kill_supervisor(history: "History", blow: Blow, site: "Site") -> bool:
    """SIGKILL, or the machine loses its power. Somebody starts another one."""
    history.after(blow.lasts_s, site.start)
    return site.kill(power=blow.what == "power")


def kill_server(history: "History", blow: Blow, _: "Site") -> bool:
    """SIGKILL. Somebody starts another one."""
    server = _server(history)
    if server is not None:
        server.die()
    history.after(blow.lasts_s, history.start_server)
    return server is not None


def _kill_keeper(_: "History", __: Blow, site: "Site") -> bool:
    return site.kill_keeper()


def _kill_child(history: "History", _: Blow, site: "Site") -> bool:
    running = site.machine.running
    if running:
        history.world.random.choice(running).receive(KILL)
    return bool(running)


# --- disks and clocks -------------------------------------------------------------------------------------------------


def _fill_disk(history: "History", blow: Blow, site: "Site") -> bool:
    site.disk.full_until = history.world.now + blow.lasts_s
    history.world.nature.tell(f"{site.name}'s disk is full for {blow.lasts_s:.3f} s")
    return True


def _fill_server(history: "History", blow: Blow, _: "Site") -> bool:
    history.storage.full_until = history.world.now + blow.lasts_s
    history.world.nature.tell(f"the server's disk is full for {blow.lasts_s:.3f} s")
    return True


def _set_server_clock(history: "History", _: Blow, __: "Site") -> bool:
    step_s = history.world.random.choice((-90.0, -8.0, 8.0, 3600.0))
    history.skew_s += step_s
    if step_s < 0:  # a lease that runs lasts longer by as much
        history.watch.faulty()
    if history.network.server is not None:
        history.network.server.skew_s = history.skew_s
    history.world.nature.tell(f"the server's clock is {history.skew_s:g} s off")
    return True


def _set_clock(history: "History", _: Blow, site: "Site") -> bool:
    skew_s = history.world.random.choice((-90.0, -8.0, 8.0, 60.0))
    site.set_clock(skew_s)
    history.world.nature.tell(f"{site.name}'s clock is {skew_s:g} s off")
    return True


# --- people -----------------------------------------------------------------------------------------------------------


def _drain(history: "History", blow: Blow, site: "Site") -> bool:
    if site.supervisor is None or not site.supervisor.alive:
        return False
    site.supervisor.drain()
    history.after(blow.lasts_s + 5.0, site.start)
    return True


def _upgrade(_: "History", __: Blow, site: "Site") -> bool:
    return site.supervisor is not None and site.supervisor.alive and site.supervisor.upgrade()


def _clear(history: "History", _: Blow, __: "Site") -> bool:
    keep = history.world.random.random() < 0.5

    def clear(server: "Server", attempt: str) -> Coroutine[Any, Any, object]:
        return server.deck.store.clear(attempt, history.world.wall, keep_checkpoint=keep)

    return _by_hand(history, "clears", clear)


def _kill(history: "History", _: Blow, __: "Site") -> bool:
    def kill(server: "Server", attempt: str) -> Coroutine[Any, Any, object]:
        return server.deck.store.kill(attempt, history.world.wall, reason="by hand")

    return _by_hand(history, "kills", kill)


def _by_hand(history: "History", does: str, act: Callable[["Server", str], Coroutine[Any, Any, object]]) -> bool:
    """Have somebody do something to a task. What is refused to people is told to them, and no fault."""
    server = _server(history)
    rows = history.storage.rows("SELECT id, task_id FROM instances ORDER BY key")
    if server is None or not rows:
        return False
    attempt, task = history.world.random.choice(rows)

    async def doing() -> None:
        with contextlib.suppress(CallerError, StoreError):
            await act(server, attempt)

    history.world.nature.tell(f"somebody {does} {task}")
    server.loop.begin(doing)
    return True


def _server(history: "History") -> "Server | None":
    server = history.network.server
    return server if server is not None and server.alive else None


BLOWS: Mapping[str, Strike] = {
    "supervisor": kill_supervisor,
    "power": kill_supervisor,
    "keeper": _kill_keeper,
    "server": kill_server,
    "child": _kill_child,
    "disk": _fill_disk,
    "server's disk": _fill_server,
    "server's clock": _set_server_clock,
    "clock": _set_clock,
    "drain": _drain,
    "upgrade": _upgrade,
    "clear": _clear,
    "kill": _kill,
}
GENTLE = frozenset({"upgrade", "clock", "server's clock"})
"""What nobody is to notice: it excuses nothing."""

"""Workers of a store, as far as a benchmark of the store needs them: they claim, start and end."""

import asyncio
from datetime import UTC, datetime

from protocol.flows import FlowGraph, TaskSpec
from protocol.messages.startup import LiteralArgBinding, TaskArgBinding
from protocol.states import TaskInstanceState
from server.outcomes import Ended
from server.records import Process
from server.store import Store

CLIENTS = 8
HERE = Process(hostname="bench", unixname="bench", pid=1)


def now() -> datetime:
    """Give the moment."""
    return datetime.now(UTC)


def wide(dag_id: str, tasks: int, queue: str) -> FlowGraph:
    """Independent tasks with an argument each, so that the graph has the size of a real one."""
    args: list[TaskArgBinding] = [LiteralArgBinding("x", value="some value")]
    return FlowGraph(dag_id=dag_id, tasks=[TaskSpec(task_id=f"t{i}", queue=queue, args=args) for i in range(tasks)])


async def until_quiet(store: Store) -> None:
    """Tick until nothing is left to do."""
    while (await store.tick(now())).more:
        pass


async def pulse(store: Store, over: asyncio.Event) -> None:
    """The engine of a server, in short."""
    while not over.is_set():
        seen = store.change_seen()
        if not (await store.tick(now())).more:
            await store.wait_for_change(seen, 1.0)


async def client(store: Store, name: str, queue: str, slots: int) -> int:
    """Be a worker: claim, start and end until there is nothing more."""
    done = 0
    while claimed := await store.claim(name, [queue], slots, None, now()):
        for each in claimed:
            started = await store.start(each.instance.id, HERE, now(), now(), fence=each.instance.fence)
            told = Ended(state=TaskInstanceState.SUCCESS, end_date=now())
            await store.finish(started.instance.id, told, now(), fence=started.instance.fence)
            done += 1
    return done


async def drain(store: Store, queue: str, slots: int) -> int:
    """Let all clients work until a queue is empty."""
    counts = await asyncio.gather(*[client(store, f"c{number}", queue, slots) for number in range(CLIENTS)])
    return sum(counts)

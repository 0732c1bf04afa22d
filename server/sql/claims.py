"""Claims: queued instances and the workers that want them.

A claim takes the first instances of each queue it names, in the order of an index that holds only what is ready, so ten
thousand that wait cost as much as ten. Two workers never get the same: in SQLite there is one writer, in PostgreSQL a
row that another claim has locked is passed over. A limited pool is locked for the length of the claim, so that its
slots are counted once; the first instance of a pool that does not fit keeps the later ones of that pool waiting, or a
wide one would never run.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from protocol.states import TaskInstanceState
from server.records import Claimed, Instance
from server.rules import Event
from server.sql.part import Part
from server.sql.rows import FROM_INSTANCES, micros, unpack
from server.sql.transaction import SLOTS, Row, Transaction, Value, marks, writes
from server.sql.transitions import HELD, Held, Turn, happen, hold

READY = f"SELECT {HELD}, r.context_carrier {FROM_INSTANCES} WHERE i.state = 'queued' AND i.held = 0"
_CARRIER = -1
_FIELDS = Instance.__struct_fields__
_POOL, _POOL_SLOTS, _PRIORITY, _QUEUED_AT = map(_FIELDS.index, ("pool", "pool_slots", "priority", "queued_at"))


class Claims(Part):
    """Claiming, and waiting for something to claim."""

    @writes
    def claim(
        self,
        tx: Transaction,
        worker: str,
        queues: Sequence[str],
        slots: int,
        runtimes: Sequence[str] | None,
        now: datetime,
    ) -> list[Claimed]:
        """Give at most `slots` queued instances to a worker, by priority and then age."""
        due = now + timedelta(seconds=self.limits.claim_lease)
        claimed = []
        for row in _Choice(tx, slots, runtimes).choose(list(dict.fromkeys(queues))):
            held = Held(row)
            fence = held.instance.fence + 1
            sets: dict[str, Value] = {"worker": worker, "held": 1, "due": micros(due), "fence": fence}
            happen(tx, held, Turn(Event.CLAIM, now, f"claimed by {worker}", sets, {"worker": worker, "fence": fence}))
            graph = self.graphs.get(tx, held.graph)
            claimed.append(
                Claimed(
                    instance=replace(held.instance, worker=worker, due=due, fence=fence),
                    graph=graph.graph,
                    task=graph.task(held.instance.task_id),
                    context_carrier=unpack(row[_CARRIER]),
                )
            )
        return claimed

    def work_seen(self, queues: Sequence[str]) -> int:
        """Give a number before a claim; `wait_for_work` with it misses nothing that could be claimed since."""
        return self.database.seen([*queues, SLOTS])

    async def wait_for_work(self, queues: Sequence[str], seen: int, seconds: float) -> bool:
        """Return when there may be something in one of these queues since `seen`, or after so many seconds."""
        return await self.database.wait([*queues, SLOTS], seen, seconds)

    @writes
    def give_back(self, tx: Transaction, claimed: Sequence[Claimed], now: datetime) -> None:
        """Put back in line what was claimed for somebody who is gone, as far as nothing has happened to it since."""
        for each in claimed:
            held = hold(tx, each.instance.id)
            if held.instance.fence == each.instance.fence and held.instance.state is TaskInstanceState.QUEUED:
                happen(tx, held, Turn(Event.CLAIM_OVER, now, "its worker hung up before it was given to it"))


class _Choice:
    """What a claim has chosen so far, and what stands in its way."""

    def __init__(self, tx: Transaction, slots: int, runtimes: Sequence[str] | None) -> None:
        self._tx = tx
        self._slots = slots
        self._runtimes = runtimes
        self._sizes: dict[str, int] = dict(
            tx.rows(f"SELECT name, slots FROM pools i WHERE slots >= 0 ORDER BY name{tx.lock}")
        )
        self._room = self._sizes.copy()
        for pool, used in self._used():
            self._room[pool] -= used
        self._full = {pool for pool, room in self._room.items() if room <= 0}
        self._passed: set[int] = set()
        self.rows: list[Row] = []

    def _used(self) -> list[Row]:
        if not self._sizes:
            return []
        return self._tx.rows(
            "SELECT pool, sum(pool_slots) FROM instances "
            f"WHERE held = 1 AND pool IN ({marks(list(self._sizes))}) GROUP BY pool",
            *self._sizes,
        )

    def choose(self, queues: list[str]) -> list[Row]:
        """Take the best of all queues; ask again as long as what does not fit has taken up places in the answer."""
        going_on = True
        while going_on and len(self.rows) < self._slots:
            found = [row for queue in queues for row in self._first(queue)]
            found.sort(key=_rank)
            considered = found[: self._slots - len(self.rows)]
            going_on = sum(self._take(row) for row in considered) < len(considered)
        return self.rows

    def _take(self, row: Row) -> bool:
        """Take it if it fits. If not, no other of its pool may overtake it, unless it can never fit."""
        key, pool, wide = row[0], row[_POOL], row[_POOL_SLOTS]
        if pool in self._full:
            return False
        room = self._room.get(pool)
        if room is not None and wide > room:
            self._full |= {pool} if wide <= self._sizes[pool] else set()
            self._passed.add(key)
            return False
        if room is not None:
            self._room[pool] = room - wide
        self._passed.add(key)
        self.rows.append(row)
        return True

    def _first(self, queue: str) -> list[Row]:
        sql = READY + " AND i.queue = ?"
        values: list[Value] = [queue, *self._full, *self._passed]
        if self._full:
            sql += f" AND i.pool NOT IN ({marks(list(self._full))})"
        if self._passed:
            sql += f" AND i.key NOT IN ({marks(list(self._passed))})"
        if self._runtimes is not None:
            sql += f" AND (i.runtime IS NULL OR i.runtime IN ({marks(self._runtimes)}))"
            values += self._runtimes
        order = " ORDER BY i.priority DESC, i.queued_at, i.key LIMIT ?"
        return self._tx.rows(sql + order + self._tx.lock_free, *values, self._slots - len(self.rows))


def _rank(row: Row) -> tuple[int, int, int]:
    return -row[_PRIORITY], row[_QUEUED_AT], row[0]

"""Making instances."""

from collections.abc import Iterable
from datetime import datetime

from protocol.flows import TaskSpec
from server.sql.rows import fresh_id
from server.sql.transaction import Transaction

UNMAPPED = -1


def plant(tx: Transaction, run_key: int, now: datetime, each: Iterable[tuple[TaskSpec, int]]) -> None:
    """Write instances of these tasks at these map indexes, all waiting."""
    tx.many(
        "INSERT INTO instances (id, run_key, task_id, map_index, state, try_number, max_tries, queue, runtime, pool, "
        "pool_slots, priority) VALUES (?, ?, ?, ?, 'scheduled', 1, ?, ?, ?, ?, ?, ?)",
        [
            (
                fresh_id(now),
                run_key,
                task.task_id,
                map_index,
                task.retries,
                task.queue,
                task.runtime,
                task.pool,
                task.slots,
                task.priority,
            )
            for task, map_index in each
        ],
    )

"""Removing what is older than it should be kept."""

from datetime import datetime, timedelta

from server.filters import Retention
from server.records import Pruned
from server.sql.part import Part
from server.sql.rows import micros
from server.sql.transaction import Transaction, marks, writes

_OF_INSTANCES = (
    "attempts",
    "events",
    "checkpoints",
    "reschedules",
    "rendered_fields",
    "task_values",
    "questions",
    "triggers",
)
_EVENTS_OF_A_RUN = 100
"""So many events of assets are removed at once for each run that may be."""


def _forget_graphs(tx: Transaction, digests: list[str]) -> None:
    """Remove those no flow and no run has any more. They are locked before they are looked for: see `Graphs.put`."""
    tx.rows(f"SELECT 1 FROM graphs i WHERE i.hash IN ({marks(digests)}) ORDER BY i.hash{tx.lock}", *digests)
    tx.run(
        f"DELETE FROM graphs WHERE hash IN ({marks(digests)}) "
        "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.graph = graphs.hash) "
        "AND NOT EXISTS (SELECT 1 FROM flows f WHERE f.graph = graphs.hash)",
        *digests,
    )


def _forget_events(tx: Transaction, before: int, limit: int) -> None:
    """Remove what tells of the past only: events of assets, and jobs of triggerers that ended or fell silent."""
    old = "SELECT id FROM asset_events WHERE asset_key IN (SELECT key FROM assets) AND at < ? LIMIT ?"
    tx.run(f"DELETE FROM asset_events WHERE id IN ({old})", before, limit * _EVENTS_OF_A_RUN)
    tx.run("DELETE FROM jobs WHERE coalesce(ended, heartbeat) < ?", before)


class Pruning(Part):
    """Retention, and being asked whether one is well."""

    @writes
    def prune(self, tx: Transaction, retention: Retention, now: datetime) -> Pruned:
        """Remove what is older than it should be kept, a few runs at a time."""
        values = tx.run("DELETE FROM task_values WHERE expires <= ?", micros(now))
        if retention.runs is None:
            return Pruned(runs=[], values=values)
        before = micros(now - timedelta(seconds=retention.runs))
        runs = tx.rows(
            "SELECT i.key, i.dag_id, i.run_id, i.graph FROM runs i WHERE i.end_date < ? "
            f"AND i.state IN ('success', 'failed') ORDER BY i.end_date LIMIT ?{tx.lock_free}",
            before,
            retention.limit,
        )
        keys = [key for key, *_ in runs]
        if keys:
            instances = f"SELECT key FROM instances WHERE run_key IN ({marks(keys)})"
            for table in _OF_INSTANCES:
                tx.run(f"DELETE FROM {table} WHERE instance_key IN ({instances})", *keys)
            for table in ("xcoms", "changed", "instances"):
                tx.run(f"DELETE FROM {table} WHERE run_key IN ({marks(keys)})", *keys)
            tx.run(f"DELETE FROM runs WHERE key IN ({marks(keys)})", *keys)
            _forget_graphs(tx, sorted({digest for *_, digest in runs}))
        _forget_events(tx, before, retention.limit)
        return Pruned(runs=[(dag_id, run_id) for _, dag_id, run_id, _ in runs], values=values)

    @writes
    def ready(self, tx: Transaction, now: datetime) -> None:
        """Read and write once; raises `StoreBroken` when that fails."""
        tx.run("UPDATE pools SET slots = slots WHERE name = ?", f"no pool is called this {micros(now)}")
        tx.row("SELECT max(number) FROM schema_versions")

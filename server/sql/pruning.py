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


class Pruning(Part):
    """Retention, and being asked whether one is well."""

    @writes
    def prune(self, tx: Transaction, retention: Retention, now: datetime) -> Pruned:
        """Remove what is older than it should be kept, a few runs at a time."""
        values = tx.run("DELETE FROM task_values WHERE expires <= ?", micros(now))
        if retention.runs is None:
            return Pruned(runs=[], values=values)
        runs = tx.rows(
            "SELECT i.key, i.dag_id, i.run_id FROM runs i WHERE i.end_date < ? AND i.state IN ('success', 'failed') "
            f"ORDER BY i.end_date LIMIT ?{tx.lock_free}",
            micros(now - timedelta(seconds=retention.runs)),
            retention.limit,
        )
        keys = [key for key, _, _ in runs]
        if keys:
            instances = f"SELECT key FROM instances WHERE run_key IN ({marks(keys)})"
            for table in _OF_INSTANCES:
                tx.run(f"DELETE FROM {table} WHERE instance_key IN ({instances})", *keys)
            for table in ("xcoms", "changed", "instances"):
                tx.run(f"DELETE FROM {table} WHERE run_key IN ({marks(keys)})", *keys)
            tx.run(f"DELETE FROM runs WHERE key IN ({marks(keys)})", *keys)
        return Pruned(runs=[(dag_id, run_id) for _, dag_id, run_id in runs], values=values)

    @writes
    def ready(self, tx: Transaction, now: datetime) -> None:
        """Read and write once; raises `StoreBroken` when that fails."""
        tx.run("UPDATE pools SET slots = slots WHERE name = ?", f"no pool is called this {micros(now)}")
        tx.row("SELECT max(number) FROM schema_versions")

"""What every part of the store stands on: a database, the graphs it has decoded, and its limits."""

from msgspec import Struct

from server.sealing import Seal
from server.sql.graphs import Graphs
from server.sql.transaction import Database


class Limits(Struct, frozen=True):
    """The store's own settings. Spans are in seconds, sizes in bytes."""

    claim_lease: float = 30.0
    """How long a worker may take from a claim to `/run`."""
    lease: float = 30.0
    """How long an attempt may be silent before it counts as lost."""
    inline_checkpoint: int = 65536
    """Checkpoint data above this has to be a blob."""
    inline_value: int = 1 << 20
    """The largest XCom, task state or asset state value."""
    mapped: int = 10_000
    """The most instances one task is mapped to."""


class Part:
    """A part of the store."""

    def __init__(self, database: Database, limits: Limits, seal: Seal) -> None:
        self.database = database
        self.limits = limits
        self.seal = seal
        self.graphs = Graphs()

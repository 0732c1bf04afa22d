"""All parts of the store together."""

from server.sealing import Seal
from server.sql.assets import Assets
from server.sql.attempts import AttemptLife
from server.sql.checkpoints import Checkpoints
from server.sql.claims import Claims
from server.sql.clearing import Clearing
from server.sql.looking import Looking
from server.sql.outcomes import Outcomes
from server.sql.part import Limits
from server.sql.pruning import Pruning
from server.sql.questions import Questions
from server.sql.runs import Runs
from server.sql.ticking import Ticking
from server.sql.transaction import Database
from server.sql.triggers import Triggers
from server.sql.values import Values
from server.sql.xcoms import XComs
from server.store import Store


class SqlStore(
    Claims,
    AttemptLife,
    Outcomes,
    Checkpoints,
    Questions,
    XComs,
    Values,
    Assets,
    Runs,
    Looking,
    Clearing,
    Triggers,
    Ticking,
    Pruning,
):
    """A store over any database that `server.sql.transaction` describes."""

    async def open(self) -> None:
        """Connect and bring the schema up to date; safe when several servers do it at once. Twice is fine."""
        await self.database.open()

    async def close(self) -> None:
        """Finish what was asked for and let go. Twice, and before `open`, is fine."""
        await self.database.close()


def store_over(database: Database, limits: Limits | None = None, seal: Seal | None = None) -> Store:
    """Make a store; that it is one, the type checker says here."""
    return SqlStore(database, limits or Limits(), seal or Seal())

"""What a database is to the SQL here, and how a method becomes a transaction.

A method of the store is a plain function over a `Transaction`: it runs statements, decides in between, and returns or
raises. The driver chooses where it runs (a thread of its own, so the loop never waits for a disk), with which others it
shares a commit, and whether it has to be run again because another server got in its way. So a method must do nothing
but talk to its transaction: what is to be told to others after the commit is left with `wake`.

Statements are written once, with `?` for values. The few words that differ are attributes of the transaction.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

Row = tuple[Any, ...]
Value = str | int | float | bytes | None

ENGINE = ""
"""The wake-up of whoever ticks."""

SLOTS = "\x01"
"""The wake-up of whoever waits for work: a limited pool has room. Any other is the name of a queue that has work."""


class Transaction(Protocol):
    """One transaction, in the thread that runs it."""

    @property
    def lock(self) -> str:
        """Ends a SELECT whose rows (of the table called `i`) nobody else may change meanwhile."""

    @property
    def lock_free(self) -> str:
        """As `lock`, and passes over the rows that someone else has locked."""

    def rows(self, sql: str, *values: Value) -> list[Row]:
        """Give all rows."""

    def row(self, sql: str, *values: Value) -> Row | None:
        """Give the first row."""

    def run(self, sql: str, *values: Value) -> int:
        """Give how many rows were changed."""

    def many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        """Run a statement for each."""

    def apart(self, part: Callable[[], object]) -> Exception | None:
        """Run a part that may fail by itself: what it wrote is undone, and its fault is given. A database's is not."""

    def wake(self, whom: str) -> None:
        """Tell those who wait for this, once it is committed."""


R = TypeVar("R")
P = ParamSpec("P")
Work = Callable[[Transaction], R]


class Database(Protocol):
    """One database, from the loop's side."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""

    async def close(self) -> None:
        """Finish what was asked for, and let go."""

    async def write(self, work: Work[R]) -> R:
        """Run and commit; it is durable when this returns."""

    async def read(self, work: Work[R]) -> R:
        """Run on one consistent view."""

    def seen(self, whom: Sequence[str]) -> int:
        """Give a number that a later wake-up of any of these exceeds."""

    async def wait(self, whom: Sequence[str], seen: int, seconds: float) -> bool:
        """Return when one of these was woken after `seen`, or after so many seconds (then False)."""


class HasDatabase(Protocol):
    """The part of a store that a method needs to become a transaction."""

    @property
    def database(self) -> Database:
        """Where it runs."""


S = TypeVar("S", bound=HasDatabase)


def writes(method: Callable[Concatenate[S, Transaction, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Make a transaction of a method."""

    @wraps(method)
    async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.database.write(lambda tx: method(self, tx, *args, **kwargs))

    return ask


def reads(method: Callable[Concatenate[S, Transaction, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Make a read-only transaction of a method."""

    @wraps(method)
    async def ask(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.database.read(lambda tx: method(self, tx, *args, **kwargs))

    return ask


def marks(values: Sequence[object]) -> str:
    """Give as many placeholders as there are values."""
    return ", ".join("?" * len(values))

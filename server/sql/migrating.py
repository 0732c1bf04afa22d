"""Bringing a schema up to date: numbered files, each applied once, in order, under a lock of the driver's."""

from collections.abc import Mapping
from importlib.resources import files

from server.faults import NewerSchema
from server.sql.transaction import Transaction

_FILES = files("server.sql") / "migrations"


def migrations() -> dict[int, str]:
    """Give the statements of each number."""
    found = {int(file.name[:4]): file.read_text() for file in _FILES.iterdir() if file.name.endswith(".sql")}
    return dict(sorted(found.items()))


def migrate(tx: Transaction, words: Mapping[str, str], steps: Mapping[int, str]) -> None:
    """Apply what is missing. The caller holds the lock, and commits all of it or nothing."""
    tx.run("CREATE TABLE IF NOT EXISTS schema_versions (number INTEGER PRIMARY KEY)")
    found = tx.row("SELECT max(number) FROM schema_versions")
    version: int = (found and found[0]) or 0
    known = max(steps)
    if version > known:
        raise NewerSchema(
            f"the database has schema {version}, and this version of the server knows schemas up to {known}: "
            "it was used by a newer one, which has to go on using it"
        )
    for number, text in steps.items():
        if number > version:
            for statement in statements(text, words):
                tx.run(statement)
            tx.run("INSERT INTO schema_versions (number) VALUES (?)", number)


def statements(text: str, words: Mapping[str, str]) -> list[str]:
    """Cut a file into statements, without its comments and in the words of the database."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    cut = [part.strip() for part in "\n".join(lines).split(";")]
    for word, meant in words.items():
        cut = [part.replace(word, meant) for part in cut]
    return [part for part in cut if part]

"""The one list of differences between the peers and us, and how a test holds itself to it.

`differences.toml` has a table for each kind of difference; a test compares what it finds with what is listed there,
both ways, so that a difference nobody explained fails, and so does an explanation of what is no longer so.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.interop.peers import VERSIONS

FILE = Path(__file__).with_suffix(".toml")
WHAT = ("definition", "field", "aspect", "message", "vocabulary", "status", "came")


def listed(kind: str) -> list[dict[str, Any]]:
    """Give the rows of one kind, each with its reason."""
    rows: list[dict[str, Any]] = tomllib.loads(FILE.read_text())[kind]
    assert all(row["reason"].strip() for row in rows), "each difference has a reason"
    return rows


def listed_at(kind: str, version: str) -> list[dict[str, Any]]:
    """Give the rows of one kind that hold for a version of the peer."""
    return [row for row in listed(kind) if version in row.get("versions", VERSIONS)]


def assert_listed(kind: str, version: str, found: Iterable[dict[str, str]]) -> None:
    """Hold what was found at a version of the peer to what is listed. A `*` stands for any name, at least one."""
    rows = listed_at(kind, version)
    unlisted = [each for each in found if not any(_fits(row, each) for row in rows)]
    assert not unlisted, f"not in {FILE.name}: " + "\n".join(map(str, unlisted))
    unfound = [row for row in rows if not any(_fits(row, each) for each in found)]
    assert not unfound, f"in {FILE.name}, and no longer so: " + "\n".join(map(str, unfound))


def _fits(row: dict[str, Any], found: dict[str, str]) -> bool:
    return all(row[key] in ("*", found.get(key)) for key in WHAT if key in row)

"""Dated versions of the wire.

Versions are agreed before a conversation begins (a bundle's manifest says its own), never in it. Inside, everything is
the newest version; at the border a body is stepped up or down through each neighbour in turn.
"""

from collections.abc import Iterable

from protocol.changes import Body, Change
from protocol.errors import LocalProtocolError
from protocol.vocabulary import CHANGES

VERSIONS = ("2026-06-16", "2026-10-30")
OLDEST, HEAD = VERSIONS[0], VERSIONS[-1]


def known(version: str) -> str:
    """Give the version back, or refuse a date that is not one."""
    if version not in VERSIONS:
        raise LocalProtocolError(f"wire version {version!r} is unknown; known are {', '.join(VERSIONS)}")
    return version


def exists(name: str, version: str) -> bool:
    """Whether a message was there at a version."""
    return not any(change.down is None and change.since > version for change in _of(name))


def down(name: str, body: Body, version: str) -> Body:
    """Take a body from the newest version to an older one."""
    for change in reversed(list(_since(name, version))):
        if change.down is None:
            raise LocalProtocolError(f"{name} cannot be said at wire version {version}: it came with {change.since}")
        body = change.down(body)
    return body


def up(name: str, body: Body, version: str) -> Body:
    """Take a body from an older version to the newest one."""
    for change in _since(name, version):
        if change.up is not None:
            body = change.up(body)
    return body


def _of(name: str) -> Iterable[Change]:
    return (change for change in CHANGES if change.message.__name__ == name)


def _since(name: str, version: str) -> Iterable[Change]:
    """The changes after a version, oldest first."""
    return sorted((change for change in _of(name) if change.since > version), key=lambda change: change.since)

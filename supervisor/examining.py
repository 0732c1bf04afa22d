"""Gathers the facts about this machine and its server for `worker doctor`. It changes nothing, and takes no work."""

import asyncio
import contextlib
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from protocol.http.workloads import ClaimRequest
from supervisor.api import ApiAway, ApiError, Call, Client, Token
from supervisor.checkup import JournalFacts, MachineFacts, StateFacts
from supervisor.http1 import Answer
from supervisor.journal_files import JournalError, folder_of, holder, read
from supervisor.keeper import cgroups
from supervisor.keeper.client import KeeperError
from supervisor.opening import client_of, try_keeper
from supervisor.retrying import RetryPolicy
from supervisor.settings import Loaded, Settings

BRIEF = RetryPolicy(tries=1, patience_s=0.0)
DATABASE = "taskhand.db"
NOBODYS_QUEUE = "taskhand doctor"
"""A claim that nothing answers to shows whether the token is good, and claims nothing."""


def examine(loaded: Loaded) -> MachineFacts:
    """Look at everything."""
    return asyncio.run(_examine(loaded))


async def _examine(loaded: Loaded) -> MachineFacts:
    settings = loaded.settings
    warnings: list[str] = []
    keeper_fault, keeper_s = await _keeper(settings, warnings.append)
    group = cgroups.own_group()
    facts: dict[str, Any] = {
        "keeper_fault": keeper_fault,
        "keeper_s": keeper_s,
        "preload_faults": tuple(warnings),
        "cgroup": None if group is None else str(group),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "slots": settings.worker.slots,
        "url": settings.api.url,
        "url_named": "api.url" in loaded.origins,
        "state": await asyncio.to_thread(_state, settings.state_dir),
        "journal": await asyncio.to_thread(_journal, settings),
    }
    client = client_of(settings.api)
    try:
        skew_s = await _skew(client)
    except ApiError as error:
        return MachineFacts(**facts, server_fault=str(error))
    else:
        token = settings.worker.token
        fault = None if token is None else await _token(client, token)
        return MachineFacts(**facts, skew_s=skew_s, token_given=token is not None, token_fault=fault)
    finally:
        await client.close()


def _journal(settings: Settings) -> JournalFacts:
    folder = folder_of(settings.state_dir)
    try:
        found, held = read(folder), holder(folder)
    except JournalError as error:
        return JournalFacts(fault=str(error))
    entries = found.story.entries.values()
    undelivered = sum(entry.owed is not None for entry in entries)
    return JournalFacts(
        segments=len(found.segments),
        size=found.size,
        torn=found.torn,
        damage=len(found.damage),
        undelivered=undelivered,
        running=len(entries) - undelivered,
        holder=None if held is None else f"worker {held.name} (pid {held.pid}) has it",
    )


def _state(path: Path) -> StateFacts:
    """Look at the state directory, or at what it would be made in, and leave nothing there."""
    place = next(each for each in (path, *path.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        free = shutil.disk_usage(place).free
    except OSError as error:
        return StateFacts(str(path), fault=f"nothing can be written there: {error.strerror}")
    opened = place == path and bool(path.stat().st_mode & 0o077)
    return StateFacts(str(path), None, opened, free, _database(path / DATABASE), _sealed(path / DATABASE))


def _database(file: Path) -> str | None:
    """Say whether a server of this version could open its database: by the server's own numbers, found by name."""
    if not file.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            [[version]] = connection.execute("SELECT max(number) FROM schema_versions")
    except sqlite3.Error as error:
        return (
            f"{file}: {error}; it is no database of a server's, or damaged: move it away, or restore it from a backup"
        )
    known = max(import_module("server.sql.migrating").migrations())
    if version is not None and version > known:
        return (
            f"{file} has schema {version}, and this version knows {known} at most: install the newer one that made it"
        )
    return None


def _sealed(file: Path) -> str | None:
    """Say whether a server that is started here could open what it has encrypted: with the server's own means."""
    if not file.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            rows = [
                *connection.execute("SELECT value FROM variables WHERE sealed = 1"),
                *connection.execute("SELECT connection FROM connections WHERE sealed = 1"),
            ]
    except sqlite3.Error:  # an older schema, which has no such column; anything else is `_database`'s to say
        return None
    keys = import_module("server.settings").surroundings().keys
    try:
        seal = import_module("server.sealing").Seal(keys)
    except (ImportError, ValueError) as error:
        return str(error)
    closed = sum(not seal.opens(text) for (text,) in rows)
    if not closed:
        return None
    why = "no key in TASKHAND_KEYS opens them" if keys else "TASKHAND_KEYS is not set here"
    return f"{closed} variables and connections in {file} are encrypted, and {why}: tasks that ask for them would fail"


async def _keeper(settings: Settings, warn: Callable[[str], None]) -> tuple[str | None, float]:
    began = time.monotonic()
    try:
        await try_keeper(settings, warn)
    except KeeperError as error:
        return str(error), time.monotonic() - began
    return None, time.monotonic() - began


async def _skew(client: Client) -> float | None:
    """Ask after the server's health; its `Date` says how our clocks differ."""

    def read(answer: Answer) -> float | None:
        with contextlib.suppress(ValueError, TypeError):
            said = parsedate_to_datetime(answer.header(b"date") or "")
            # The header has whole seconds: on average it is half of one behind.
            return (datetime.now(UTC) - said).total_seconds() - 0.5
        return None

    return await client.call(Call("GET", "/health", None, BRIEF), Token("none"), read)


async def _token(client: Client, token: str) -> str | None:
    request = ClaimRequest(worker="doctor", queues=[NOBODYS_QUEUE], slots=1, wait_s=0.0)
    try:
        await client.claim(request, Token(token), BRIEF)
    except ApiAway as away:
        return f"could not be tried: {away}"
    except (ApiError, ValueError) as error:
        return str(error)
    return None

"""Variables and connections under keys: sealed, opened, keys replaced, and what is said when one is missing."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from server.faults import Refused
from server.records import Connection, Variable
from server.sealing import BadKey, Seal
from server.sql.store import store_over
from server.sqlite import SqliteDatabase
from server.store import Store
from tests.server.http.live import serving

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
CONNECTION = Connection(conn_id="db", conn_type="postgres", password="pass é word")  # noqa: S106 - the secret to be found


def with_keys(folder: Path, keys: list[str], play: Any) -> Any:
    """Do something with a store over this folder's database, under these keys."""

    async def run() -> Any:
        store = store_over(SqliteDatabase(folder / "test.db"), seal=Seal(keys))
        await store.open()
        try:
            return await play(store)
        finally:
            await store.close()

    return asyncio.run(run())


def in_the_file(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "test.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
    return (folder / "test.db").read_bytes()


async def put(store: Store) -> None:
    await store.set_variable("k", "value of k", "what it is")
    await store.set_variable("none", None, None)
    await store.set_connection(CONNECTION)


async def look(store: Store) -> tuple[Variable | None, Connection | None]:
    return await store.get_variable("k"), await store.get_connection("db")


THERE = (Variable(key="k", value="value of k", description="what it is"), CONNECTION)


def test_what_is_written_under_a_key_is_not_in_the_file(tmp_path: Path) -> None:
    with_keys(tmp_path, [NEW], put)
    assert with_keys(tmp_path, [NEW], look) == THERE
    found = in_the_file(tmp_path)
    assert (b"value of k" in found, "pass é word".encode() in found) == (False, False)


def test_without_keys_it_is_plain_and_what_is_plain_is_read_and_sealed_later(tmp_path: Path) -> None:
    with_keys(tmp_path, [], put)
    assert b"value of k" in in_the_file(tmp_path)
    assert with_keys(tmp_path, [NEW], look) == THERE
    assert with_keys(tmp_path, [NEW], lambda store: store.seal_anew()) == 0
    assert b"value of k" not in in_the_file(tmp_path)
    assert with_keys(tmp_path, [NEW], look) == THERE


def test_a_plain_value_is_sealed_when_it_is_written_again(tmp_path: Path) -> None:
    with_keys(tmp_path, [], put)
    with_keys(tmp_path, [NEW], put)
    assert b"value of k" not in in_the_file(tmp_path)
    assert with_keys(tmp_path, [NEW], look) == THERE


def test_a_key_is_replaced(tmp_path: Path) -> None:
    with_keys(tmp_path, [OLD], put)
    assert with_keys(tmp_path, [NEW, OLD], look) == THERE
    assert with_keys(tmp_path, [NEW, OLD], lambda store: store.seal_anew()) == 0
    assert with_keys(tmp_path, [NEW], look) == THERE


@pytest.mark.parametrize(("keys", "why"), [([], "names no key"), ([NEW], "none of the keys in TASKHAND_KEYS opens it")])
def test_what_cannot_be_opened_is_said_and_left_as_it_is(tmp_path: Path, keys: list[str], why: str) -> None:
    with_keys(tmp_path, [OLD], put)
    with pytest.raises(Refused, match=f"variable 'k' is encrypted, and .*{why}"):
        with_keys(tmp_path, keys, lambda store: store.get_variable("k"))
    with pytest.raises(Refused, match="connection 'db' is encrypted"):
        with_keys(tmp_path, keys, lambda store: store.get_connection("db"))
    assert with_keys(tmp_path, keys, lambda store: store.connection_ids()) == ["db"]
    assert with_keys(tmp_path, keys, lambda store: store.seal_anew()) == 2
    assert with_keys(tmp_path, [OLD], look) == THERE


def test_a_value_that_looks_sealed_is_none(tmp_path: Path) -> None:
    text = Fernet(NEW).encrypt(b"x").decode()
    with_keys(tmp_path, [], lambda store: store.set_variable("k", text, None))
    for keys in ([], [NEW]):
        assert with_keys(tmp_path, keys, lambda store: store.get_variable("k")).value == text


@pytest.mark.parametrize("key", ["short", "é" * 44, "x" * 45])
def test_a_key_that_is_none_is_named_by_its_number_and_not_shown(key: str) -> None:
    with pytest.raises(BadKey, match="key 2 of TASKHAND_KEYS is none") as raised:
        Seal([NEW, key])
    assert key not in str(raised.value)


def test_a_server_and_the_doctor_say_which_key_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TASKHAND_KEYS", OLD)
    with serving(home) as server:
        attempt = server.attempt()
        server.people("PUT", "/variables/k", json={"val": "value of k"})
        assert attempt.ask("GET", "/variables/k").json()["value"] == "value of k"
    monkeypatch.delenv("TASKHAND_KEYS")
    with serving(home) as server:
        refused = server.people("GET", "/variables/k")
        assert (refused.status_code, refused.json()["detail"]["reason"]) == (422, "encrypted")
        assert "TASKHAND_KEYS names no key" in refused.text
    assert "1 variables and connections are encrypted, and no key" in (tmp_path / "server.log").read_text()
    assert "TASKHAND_KEYS is not set here" in doctor(home)
    monkeypatch.setenv("TASKHAND_KEYS", NEW)
    assert "no key in TASKHAND_KEYS opens them" in doctor(home)
    monkeypatch.setenv("TASKHAND_KEYS", "short")
    assert "key 1 of TASKHAND_KEYS is none" in doctor(home)
    monkeypatch.setenv("TASKHAND_KEYS", f"{NEW},{OLD}")
    assert "TASKHAND_KEYS" not in doctor(home)


def doctor(home: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "supervisor", "doctor", "--state-dir", str(home)],
        capture_output=True,
        text=True,
        env={**os.environ, "TASKHAND_HOME": str(home)},
        check=False,
        timeout=60,
    ).stdout

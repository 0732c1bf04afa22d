import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.server import postgres_server, test_postgres, test_sqlite
from tests.server.histories import Histories

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


class OverSqlite(Histories):
    make = staticmethod(test_sqlite.make)


class OverPostgres(Histories):
    make = staticmethod(test_postgres.make)


def play(machine: type[Histories], examples: int) -> None:
    given = settings(max_examples=examples, stateful_step_count=80, deadline=None, suppress_health_check=CHECKS)
    run_state_machine_as_test(machine, settings=given)


@pytest.mark.slow
def test_histories_over_sqlite() -> None:
    play(OverSqlite, 8)


@pytest.mark.slow
def test_histories_over_postgres() -> None:
    postgres_server.url()
    play(OverPostgres, 3)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_many_histories() -> None:
    play(OverSqlite, min(2000, int(os.environ.get("TASKHAND_FUZZ_CASES", "12")) // 100 + 5))

"""Dates, and the shapes they had."""

from datetime import UTC, datetime

import pytest

from protocol.http.values import VariablePostBody
from protocol.messages.runs import DagRun, DagRunState, DagRunType
from protocol.messages.startup import TIRunContext
from server.versions import HEAD, SERVED, STEPS, UnknownVersion, dress, served

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
RUN = DagRun("d", "r", None, None, None, WHEN, WHEN, None, DagRunType.MANUAL, DagRunState.RUNNING, [], None)
CONTEXT = TIRunContext(RUN, 0)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2026-04-06", "2026-04-06"),
        ("2026-04-07", "2026-04-06"),
        ("2026-06-30", "2026-06-30"),
        ("2026-10-29", "2026-06-30"),
        ("2026-10-30", HEAD),
        ("2099-12-31", HEAD),
    ],
)
def test_the_nearest_older_date_is_served(asked: str, given: str) -> None:
    assert served(asked) == given


@pytest.mark.parametrize(
    ("asked", "status"),
    [("2025-04-11", 404), ("1970-01-01", 404), ("", 422), ("latest", 422), ("2026-13-01", 422), ("20261030", 422)],
)
def test_what_cannot_be_served(asked: str, status: int) -> None:
    with pytest.raises(UnknownVersion) as raised:
        served(asked)
    assert raised.value.status == status


def test_every_older_date_has_its_step() -> None:
    assert set(STEPS) == set(SERVED) - {HEAD}


def test_the_newest_is_given_as_it_is() -> None:
    assert dress(CONTEXT, HEAD) is CONTEXT


def test_june_does_not_know_of_bindings() -> None:
    context = dress(CONTEXT, "2026-06-30")
    assert not context.keys() & {"loop", "arg_bindings", "multi_team", "first_task_reschedule_start_date"}
    assert context["dag_run"].keys() == set(DagRun.__struct_fields__)


def test_april_does_not_know_of_teams_either() -> None:
    assert not dress(RUN, "2026-04-06").keys() & {"team_name", "partition_date"}
    context = dress(CONTEXT, "2026-04-06")
    assert not context.keys() & {"loop", "arg_bindings"}
    assert not context["dag_run"].keys() & {"team_name", "partition_date"}


def test_what_never_changed_keeps_its_shape() -> None:
    assert dress(VariablePostBody("v"), "2026-04-06") == {"val": "v", "description": None}

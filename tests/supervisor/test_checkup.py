import pytest
from msgspec.structs import replace

from supervisor.checkup import JournalFacts, MachineFacts, check_up
from supervisor.diagnosis import Level

WELL = MachineFacts(
    keeper_fault=None, keeper_s=0.2, cgroup="/sys/fs/cgroup/x", files=4096, slots=8, url="http://h", url_named=True,
    skew_s=0.1, token_given=True,
)  # fmt: skip


def levels(facts: MachineFacts) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in check_up(facts)}


def test_a_healthy_machine_has_nothing_but_good_findings() -> None:
    assert set(levels(WELL).values()) == {Level.OK}
    assert len(levels(WELL)) == 7


@pytest.mark.parametrize(
    ("change", "subject", "level"),
    [
        ({"keeper_fault": "no"}, "keeper", Level.PROBLEM),
        ({"keeper_s": 9.0}, "keeper", Level.NOTE),
        ({"cgroup": None}, "control groups", Level.NOTE),
        ({"slots": 2000}, "open files", Level.PROBLEM),
        ({"journal": JournalFacts(fault="a newer version")}, "journal", Level.PROBLEM),
        ({"journal": JournalFacts(damage=1)}, "journal", Level.PROBLEM),
        ({"journal": JournalFacts(undelivered=1)}, "journal", Level.NOTE),
        ({"journal": JournalFacts(running=1)}, "journal", Level.NOTE),
        ({"journal": JournalFacts(running=1, undelivered=1, holder="worker w")}, "journal", Level.OK),
        ({"journal": JournalFacts(segments=1, torn=7)}, "journal", Level.OK),
        ({"journal": JournalFacts(segments=1)}, "journal", Level.OK),
        ({"server_fault": "nobody there"}, "execution API", Level.PROBLEM),
        ({"server_fault": "nobody there", "url_named": False}, "execution API", Level.NOTE),
        ({"skew_s": 30.0}, "clock", Level.PROBLEM),
        ({"skew_s": -30.0}, "clock", Level.PROBLEM),
        ({"token_given": False}, "worker token", Level.NOTE),
        ({"token_fault": "403"}, "worker token", Level.PROBLEM),
    ],
)
def test_what_hurts_is_said(change: dict[str, object], subject: str, level: Level) -> None:
    assert levels(replace(WELL, **change))[subject] is level


def test_a_traceback_is_told_in_one_line() -> None:
    keeper = check_up(replace(WELL, keeper_fault="no start: Traceback\n  File\nModuleNotFoundError: x\n"))[0]
    assert keeper.message == "no start: Traceback … ModuleNotFoundError: x"


def test_of_a_server_that_is_not_there_nothing_more_is_said() -> None:
    left = {"keeper", "control groups", "open files", "journal", "execution API"}
    assert set(levels(replace(WELL, server_fault="x"))) == left


def test_a_server_that_tells_no_time_cannot_be_compared_with() -> None:
    assert "clock" not in levels(replace(WELL, skew_s=None))

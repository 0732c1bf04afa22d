import pytest
from msgspec.structs import replace

from supervisor.checkup import MIB, JournalFacts, MachineFacts, StateFacts, check_up
from supervisor.diagnosis import Level

WELL = MachineFacts(
    keeper_fault=None, keeper_s=0.2, cgroup="/sys/fs/cgroup/x", files=4096, slots=8, url="http://h", url_named=True,
    skew_s=0.1, token_given=True,
)  # fmt: skip


def levels(facts: MachineFacts) -> dict[str, Level]:
    return {finding.subject: finding.level for finding in check_up(facts)}


def test_a_healthy_machine_has_nothing_but_good_findings() -> None:
    assert set(levels(WELL).values()) == {Level.OK}
    assert len(levels(WELL)) == 8
    assert "disk" not in levels(replace(WELL, state=StateFacts("/s", free=5000 * MIB)))


@pytest.mark.parametrize(
    ("change", "subject", "level"),
    [
        ({"keeper_fault": "no"}, "keeper", Level.PROBLEM),
        ({"keeper_s": 9.0}, "keeper", Level.NOTE),
        ({"preload_faults": ("x could not be preloaded",)}, "preload", Level.PROBLEM),
        ({"cgroup": None}, "control groups", Level.NOTE),
        ({"state": StateFacts("/s", fault="Permission denied")}, "state directory", Level.PROBLEM),
        ({"state": StateFacts("/s", open_to_others=True)}, "state directory", Level.PROBLEM),
        ({"state": StateFacts("/s", free=MIB)}, "disk", Level.PROBLEM),
        ({"state": StateFacts("/s", free=200 * MIB)}, "disk", Level.NOTE),
        ({"state": StateFacts("/s", database_fault="newer")}, "database", Level.PROBLEM),
        ({"state": StateFacts("/s", sealed_fault="no key")}, "keys", Level.PROBLEM),
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
    assert keeper.message.startswith("no start: Traceback … ModuleNotFoundError: x: no Python task can start")


def test_of_a_server_that_is_not_there_nothing_more_is_said() -> None:
    left = {"keeper", "control groups", "open files", "state directory", "journal", "execution API"}
    assert set(levels(replace(WELL, server_fault="x"))) == left


def test_a_server_that_tells_no_time_cannot_be_compared_with() -> None:
    assert "clock" not in levels(replace(WELL, skew_s=None))

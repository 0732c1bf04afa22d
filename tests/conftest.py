"""What every test run has in common."""

import faulthandler
import os
import sys
from typing import Any

import pytest
from hypothesis import settings

# The tests start a thousand Pythons. Where nothing is to be kept of what they compile, each compiles our sources again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No deadline for a single case: on two shared cores a pause of the machine is not a property of the code. A test that
# hangs is ended by the time-out of the whole test.
settings.register_profile("taskhand", deadline=None)
settings.load_profile("taskhand")

TERMINAL = os.dup(2)
"""Where the stacks of a test that hangs go: what a test writes is captured."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest first, so that none of them is still running when all else is done."""
    items.sort(key=lambda item: -seconds(item.get_closest_marker("slow")))


def seconds(slow: pytest.Mark | None) -> float:
    """How long a test takes, roughly."""
    if slow is None:
        return 0.0
    return float(slow.args[0]) if slow.args else 1.0


def pytest_timeout_set_timer(settings: Any) -> None:
    """Have a test end that the time-out does not end, which is a signal: this process ends by itself, and says where.

    The code of ours that ends a task's timers ends pytest's with them. The half is for what a fixture has to end.
    """
    faulthandler.dump_traceback_later(settings.timeout * 1.5, exit=True, file=TERMINAL)


def pytest_timeout_cancel_timer() -> None:
    faulthandler.cancel_dump_traceback_later()


def pytest_enter_pdb() -> None:
    faulthandler.cancel_dump_traceback_later()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the kill points showed, as one table: step and end against the invariants."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    rows = sorted(value for call in calls for name, value in call.user_properties if name == "kill point")
    if rows:
        terminalreporter.section("a worker killed at each step, and what the next one made of it")
    for number, (point, end, seen, invariants) in enumerate(rows):
        if number == 0:
            head = f"{'killed at':<38} {'task ended as':<14} {'told':<14}"
            terminalreporter.write_line(f"{head} {' | '.join(invariants)}")
        cells = " | ".join(f"{'yes' if held else 'NO':<{len(name)}}" for name, held in invariants.items())
        terminalreporter.write_line(f"{point:<38} {end:<14} {seen:<14} {cells}")

"""What every test run has in common."""

from typing import Any

from hypothesis import settings

# No deadline for a single case: on two shared cores a pause of the machine is not a property of the code. A test that
# hangs is ended by the time-out of the whole test.
settings.register_profile("taskhand", deadline=None)
settings.load_profile("taskhand")


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

import msgspec
import pytest

from supervisor.diagnosis import Facts, Finding, Level, diagnose

HOME = "/site-packages"
WELL = Facts(
    python=(3, 12, 1),
    owners={"protocol": [], "supervisor": []},
    folders={"protocol": HOME, "supervisor": HOME},
    absent_core=[],
    absent={"server": []},
)


def findings(**changes: object) -> dict[str, Finding]:
    return {finding.subject: finding for finding in diagnose(msgspec.structs.replace(WELL, **changes))}


def test_a_healthy_installation_is_all_well() -> None:
    assert {finding.level for finding in findings().values()} == {Level.OK}
    assert list(findings()) == ["python", "protocol", "supervisor", "dependencies", "extra server"]


@pytest.mark.parametrize(("version", "level"), [((3, 10, 14), Level.PROBLEM), ((3, 11, 0), Level.OK)])
def test_a_python_that_is_too_old_is_a_problem(version: tuple[int, int, int], level: Level) -> None:
    assert findings(python=version)["python"].level is level


def test_another_distribution_owning_one_of_our_packages_is_a_problem_and_named() -> None:
    found = findings(owners={"supervisor": ["supervisor"]})["supervisor"]
    assert found.level is Level.PROBLEM
    assert "also installed by supervisor" in found.message
    assert "pip uninstall supervisor" in found.message


@pytest.mark.parametrize(("folder", "said"), [("/elsewhere", "found in /elsewhere"), ("", "not found")])
def test_a_package_that_is_not_beside_supervisor_is_a_problem(folder: str, said: str) -> None:
    found = findings(folders={"protocol": folder, "supervisor": HOME})["protocol"]
    assert found.level is Level.PROBLEM
    assert found.message.startswith(said)


def test_a_core_dependency_that_is_absent_is_a_problem() -> None:
    found = findings(absent_core=["httpx", "rich"])["dependencies"]
    assert found.level is Level.PROBLEM
    assert "httpx, rich" in found.message


def test_an_extra_that_is_absent_is_a_note_that_says_what_to_install() -> None:
    found = findings(absent={"server": ["litestar"]})["extra server"]
    assert found.level is Level.NOTE
    assert "pip install 'taskhand[server]'" in found.message

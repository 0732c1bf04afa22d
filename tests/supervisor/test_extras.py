import re
from importlib.metadata import packages_distributions

from supervisor.extras import CORE, DISTRIBUTION, EXTRAS, OURS
from tests.architecture.layout import PACKAGES, pyproject

PROJECT = pyproject()["project"]


def distributions(modules: tuple[str, ...]) -> set[str]:
    owners = packages_distributions()
    return {re.sub(r"[-_.]+", "-", owner).lower() for module in modules for owner in owners[module.partition(".")[0]]}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0].lower() for requirement in requirements}


def test_the_table_is_of_this_project() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert OURS == PACKAGES


def test_the_core_modules_are_those_of_the_dependencies() -> None:
    assert distributions(CORE) == names(PROJECT["dependencies"])


def test_every_extra_lists_the_modules_it_brings() -> None:
    assert EXTRAS.keys() == PROJECT["optional-dependencies"].keys()
    for extra, modules in EXTRAS.items():
        # A namespace package (opentelemetry) belongs to many distributions, so ours are among its owners.
        assert names(PROJECT["optional-dependencies"][extra]) <= distributions(modules)

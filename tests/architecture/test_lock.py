"""uv.lock says what is installed, and not from where (docs/decisions/0002)."""

import re
import tomllib
from typing import Any

from tests.architecture.layout import ROOT, pyproject

LOCK = (ROOT / "uv.lock").read_text()
NAME = re.compile(r"^([A-Za-z0-9._-]+)(\[[^\]]*\])?(.*)$")


def wanted() -> set[tuple[str, str, str]]:
    """What pyproject.toml asks for, as (group or extra, name, versions)."""
    project = pyproject()["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"], **pyproject()["dependency-groups"]}
    parsed = ((group, NAME.match(line)) for group, lines in groups.items() for line in lines)
    return {(group, found[1].lower(), found[3]) for group, found in parsed if found}


def locked() -> set[tuple[str, str, str]]:
    """What the lock was made for, in the same form."""
    [entry] = [package for package in tomllib.loads(LOCK)["package"] if package["name"] == "taskhand"]
    metadata: dict[str, Any] = entry["metadata"]
    groups = [(group, one) for group, many in metadata["requires-dev"].items() for one in many]
    extras = [(one.get("marker", "").removeprefix("extra == ").strip("'"), one) for one in metadata["requires-dist"]]
    return {(group, one["name"], one["specifier"]) for group, one in [*groups, *extras]}


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK


def test_the_lock_is_of_this_pyproject() -> None:
    assert locked() == wanted(), "run `make lock`"


def test_every_locked_file_has_its_hash() -> None:
    for package in tomllib.loads(LOCK)["package"]:
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]:
            assert file["hash"].startswith("sha256:")

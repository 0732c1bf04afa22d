"""Where things are: the walks over the repository that the architecture tests and the coverage gate share."""

import os
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("protocol", "runner", "server", "supervisor")
LEFT_BEHIND = {"__pycache__", "build", "dist", "node_modules", "target"}


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def files(*folders: str, suffix: str = ".py") -> list[Path]:
    """Give what is under these folders, and nothing that tools left behind there."""
    found: list[Path] = []
    for folder in folders:
        for place, inner, names in os.walk(ROOT / folder):
            # Pruned, not filtered: an environment holds a hundred times more files than the repository.
            inner[:] = [name for name in inner if not name.startswith(".") and name not in LEFT_BEHIND]
            found.extend(Path(place, name) for name in names if name.endswith(suffix))
    return sorted(found)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def file_of(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def core_modules() -> list[str]:
    """All of `protocol`, and what pyproject.toml names; an `__init__` only says what its package is."""
    protocol = [module_of(file) for file in files("protocol") if file.stem != "__init__"]
    return [*protocol, *pyproject()["tool"]["taskhand"]["core"]]


def mirror_of(module: str) -> Path:
    """`protocol.messages.task` is tested by tests/protocol/messages/test_task.py."""
    *folders, name = module.split(".")
    return ROOT.joinpath("tests", *folders, f"test_{name}.py")


def name_of(file: Path) -> str:
    """Name a file as a test's parameter, the same on every machine."""
    return str(file.relative_to(ROOT))

"""Where things are: the walks over the repository that the architecture tests and the coverage gate share."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("protocol", "runner", "server", "supervisor")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def files(*folders: str, pattern: str = "*.py") -> list[Path]:
    """Give what is under these folders, and nothing that tools left behind there."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob(pattern) if _ours(file))


def _ours(file: Path) -> bool:
    return not any(part.startswith(".") or part in {"__pycache__", "build", "dist"} for part in _parts(file))


def _parts(file: Path) -> tuple[str, ...]:
    return file.relative_to(ROOT).parts


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


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

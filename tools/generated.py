"""The files that are made from the code: `python -m tools.generated` writes them, `--check` says which are out of date.

A page drawn from a table cannot disagree with it, as long as somebody looks; `make check` does, and `make fix` draws.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import page
from protocol import drawing, schema
from tests.vectors import make
from tools import reference, settings_table

ROOT = Path(__file__).parent.parent

FILES: dict[str, Callable[[], str]] = {
    "schema.json": schema.render,
    "docs/states.md": drawing.draw,
    "docs/commands.md": reference.draw,
    "docs/operating.md": settings_table.draw,
    **{f"docs/{name}": partial(page.draw, name) for name in page.NAMES},
    **{f"tests/vectors/{name}": producer for name, producer in make.FILES.items()},
}


def stale() -> list[str]:
    """Name the files that are not what the code says."""
    return [name for name, producer in FILES.items() if _content(ROOT / name) != producer()]


def _content(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def main(arguments: list[str]) -> int:
    """Write, or check."""
    names = stale()
    if arguments == ["--check"]:
        for name in names:
            print(f"generated: {name} is out of date; `make fix` renews it")
        if not names:
            print(f"generated: {len(FILES)} files up to date")
        return bool(names)
    for name in names:
        file = ROOT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FILES[name]())
        print(f"generated: {name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

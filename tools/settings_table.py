"""The table of settings in docs/operating.md, drawn from their structs: name, default, and what the docstring says."""

import ast
import inspect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from supervisor.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "operating.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"


def draw() -> str:
    """Give the page with its table as the code has it."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = "".join(row for section in msgspec.structs.fields(Settings) for row in _rows(section.name, section.type))
    return f"{before}{BEGIN}| setting | default | |\n|---|---|---|\n{rows}{END}{after}"


def _rows(section: str, kind: Any) -> Iterator[str]:  # noqa: ANN401 - a type, or what stands for one
    if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        return  # a map: its keys are the reader's
    said = _said(kind)
    for each in msgspec.structs.fields(kind):
        default = each.default if each.default is not msgspec.NODEFAULT else each.default_factory()
        shown = "" if default in (None, "", {}, ()) else f"`{msgspec.json.encode(default).decode()}`"
        yield f"| `{section}.{each.name}` | {shown} | {said.get(each.name, '')} |\n"


def _said(kind: type) -> dict[str, str]:
    """Read the text below each field: the language keeps no docstrings of attributes."""
    [found_class] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(found_class, ast.ClassDef)  # noqa: S101 - the source of a class
    found: dict[str, str] = {}
    for field, text in itertools.pairwise(found_class.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found

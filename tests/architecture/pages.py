"""The pages of the documentation, and the blocks of code in them."""

import re
from typing import NamedTuple

from tests.architecture.layout import ROOT, files

PAGES = [page for page in files("", suffix=".md") if "tests" not in page.relative_to(ROOT).parts]
GUIDES = [page for page in PAGES if page.parent.name != "decisions" and page.name != "CHANGELOG.md"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code: its page's name, its number there, its language, its text."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}-{self.language or 'text'}"


def blocks(*languages: str) -> list[Block]:
    """Give all blocks in these languages, of all guides."""
    found = []
    for page in GUIDES:
        matches = enumerate(_BLOCK.finditer(page.read_text()))
        found += [Block(str(page.relative_to(ROOT)), number, match[1], match[2]) for number, match in matches]
    return [block for block in found if block.language in languages]


def code(page: str, language: str) -> list[str]:
    """Give the blocks of one page in one language."""
    return [block.text for block in blocks(language) if block.page == page]

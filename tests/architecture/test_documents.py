import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.architecture.layout import ROOT, files, name_of

PAGES = files("", suffix=".md")
DECISIONS = [page for page in PAGES if page.parent.name == "decisions"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Give the anchors a page has, made the way the common Markdown hosts make them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    found = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_there_are_decisions_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_a_decision_says_why_what_what_follows_and_what_was_measured(page: Path) -> None:
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequence", "Measured"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_are_named_exist(page: Path) -> None:
    absent = [
        f"{file}::{test}"
        for file, test in NAMED_TEST.findall(page.read_text())
        if not (ROOT / file).is_file() or f"def {test}(" not in (ROOT / file).read_text()
    ]
    assert absent == []


@pytest.mark.parametrize("name", ["docs/failure-model.md", "SECURITY.md"])
def test_every_promise_names_a_test(name: str) -> None:
    tables = [
        table for table in (ROOT / name).read_text().split("\n\n") if table.startswith("|") and "held by" in table
    ]
    rows = [row for table in tables for row in table.splitlines()[2:]]
    assert len(rows) > 10
    assert [row for row in rows if not NAMED_TEST.search(row)] == []


def test_all_that_the_readme_will_never_do_is_among_the_promises() -> None:
    _, _, said = (ROOT / "README.md").read_text().partition("## What it will never do\n")
    _, _, held = (
        (ROOT / "docs" / "failure-model.md").read_text().partition("## What README says that it will never do\n")
    )
    never = [line[2:9].lower() for line in said.splitlines() if line.startswith("- ")]
    rows = [line[2:9].lower() for line in held.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]
    assert rows == never


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_pictures_are_readable_in_light_and_dark() -> None:
    for page in PAGES:
        for picture in re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", page.read_text()):
            drawn = ET.parse(page.parent / picture).getroot()  # noqa: S314 - a file of ours
            assert drawn.tag.endswith("svg")
            assert "prefers-color-scheme: dark" in (page.parent / picture).read_text()


def test_the_readme_starts_with_the_two_commands() -> None:
    start = "\n".join((ROOT / "README.md").read_text().splitlines()[:8])
    assert "make test" in start
    assert "make demo" in start

"""What the facts about an installation mean. Core: facts in, findings out; `worker doctor` gathers the facts.

The finding that matters most is not about our own code. The package index has unrelated distributions which install
packages called `supervisor` and `protocol`; installed into our environment they overwrite our files or shadow them,
and what follows looks like anything but its cause.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

OLDEST_PYTHON = (3, 11)


class Level(StrEnum):
    """A problem makes `worker doctor` exit 1; a note is for who wants more than is installed."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at, what was found, and what to do about it if there is something to do."""

    subject: str
    level: Level
    message: str


class Facts(msgspec.Struct, frozen=True):
    """All that the diagnosis looks at.

    `owners` maps each of our top-level packages to the other distributions which claim it, `folders` to the folder it
    is imported from; `absent` maps each extra to the modules it lacks, and `absent_core` lists those nothing works
    without.
    """

    python: tuple[int, int, int]
    owners: Mapping[str, Sequence[str]]
    folders: Mapping[str, str]
    absent_core: Sequence[str]
    absent: Mapping[str, Sequence[str]]


def diagnose(facts: Facts) -> list[Finding]:
    """Give every finding, good ones too: a doctor who only says what hurts leaves open what was looked at."""
    return [
        _python(facts.python),
        *_packages(facts.owners, facts.folders),
        _core(facts.absent_core),
        *_extras(facts.absent),
    ]


def _python(version: tuple[int, int, int]) -> Finding:
    found = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("python", Level.PROBLEM, f"{found} is too old: Taskhand needs {oldest} or newer")
    return Finding("python", Level.OK, found)


def _packages(owners: Mapping[str, Sequence[str]], folders: Mapping[str, str]) -> Iterator[Finding]:
    home = folders["supervisor"]
    for package, folder in folders.items():
        if others := owners.get(package, ()):
            names = " and ".join(others)
            advice = f"install Taskhand into an environment of its own, or: pip uninstall {' '.join(others)}"
            yield Finding(package, Level.PROBLEM, f"also installed by {names}: {advice}")
        elif folder != home:
            where = f"found in {folder}" if folder else "not found"
            yield Finding(package, Level.PROBLEM, f"{where}, not beside supervisor in {home}: reinstall taskhand")
        else:
            yield Finding(package, Level.OK, "ours")


def _core(absent: Sequence[str]) -> Finding:
    if absent:
        return Finding("dependencies", Level.PROBLEM, f"{', '.join(absent)} not found: pip install taskhand")
    return Finding("dependencies", Level.OK, "all found")


def _extras(absent: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for extra, modules in absent.items():
        subject = f"extra {extra}"
        if modules:
            yield Finding(subject, Level.NOTE, f"without {', '.join(modules)}: pip install 'taskhand[{extra}]'")
        else:
            yield Finding(subject, Level.OK, "installed")
